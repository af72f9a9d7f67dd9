# The runtime client for Python functions: loads the handler as AWS Lambda's does and
# serves events from the Lambda Runtime API. Python 3.8 and later, standard library only.
import functools
import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
BASE = "/2018-06-01/runtime/"
HERE = os.path.dirname(os.path.abspath(__file__))


class Refused(Exception):
    """The Runtime API does not go on with us."""


class Runtime:
    """The Runtime API over one connection, which is kept."""

    def __init__(self):
        self.connection = http.client.HTTPConnection(API)  # an event may be long in coming: no timeout

    def call(self, method, path, body=None, headers={}):
        self.connection.request(method, BASE + path, body=body, headers=headers)
        response = self.connection.getresponse()
        return response.status, response.headers, response.read()

    def next(self):
        status, headers, body = self.call("GET", "invocation/next")
        if status != 200:
            raise Refused("next event: %d %s" % (status, body.decode("utf-8", "replace")))
        return headers, body

    def answer(self, path, body, headers={}):
        headers = dict(headers)
        headers["Content-Type"] = "application/json"
        try:
            status, _, text = self.call("POST", path, body, headers)
        except OSError:
            self.connection.close()  # refused before it was read: the next call connects anew
            return
        if status >= 500:
            raise Refused("%s: %d" % (path, status))
        if status not in (202, 413):
            log_line("[ERROR] %s: %d %s" % (path, status, text.decode("utf-8", "replace")))


# Logging. A record of several lines is one event: carriage returns stand for its line
# breaks until it is on the other side.
def log_line(text):
    sys.stdout.write(text.rstrip("\n").replace("\n", "\r") + "\n")
    sys.stdout.flush()


class RequestIDFilter(logging.Filter):
    request_id = ""

    def filter(self, record):
        record.aws_request_id = RequestIDFilter.request_id
        return True


class Handler(logging.Handler):
    def emit(self, record):
        try:
            log_line(self.format(record))
        except Exception:
            self.handleError(record)


def set_up_logging():
    logging.Formatter.converter = time.gmtime
    handler = Handler()
    handler.setFormatter(logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(RequestIDFilter())
    logging.getLogger().addHandler(handler)


# The context object ("AWS Lambda context object in Python").
class Members:
    def __init__(self, names, values):
        for name in names:
            setattr(self, name, (values or {}).get(name))

    def __repr__(self):
        return "%s(%r)" % (type(self).__name__, vars(self))


class Client(Members):
    pass


class ClientContext(Members):
    def __init__(self, values):
        super().__init__(["custom", "env"], values)
        client = values.get("client")
        self.client = Client(["installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"], client) if client else None


class CognitoIdentity(Members):
    def __init__(self, values):
        values = values or {}
        self.cognito_identity_id = values.get("cognitoIdentityId")
        self.cognito_identity_pool_id = values.get("cognitoIdentityPoolId")


class LambdaContext:
    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])
        client = json_header(headers, "Lambda-Runtime-Client-Context")
        self.client_context = ClientContext(client) if client else None
        self.identity = CognitoIdentity(json_header(headers, "Lambda-Runtime-Cognito-Identity"))

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        return "LambdaContext([%s])" % ",".join("%s=%s" % (k, v) for k, v in vars(self).items() if k[0] != "_")


def json_header(headers, name):
    text = headers.get(name)
    if not text:
        return None
    # http.client reads headers as Latin-1; they hold UTF-8.
    return json.loads(text.encode("latin-1").decode("utf-8"))


# Errors.
class Fault(Exception):
    """What is wrong with the function itself, in Lambda's words."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, list(trace)


def error_object(kind, message, trace, request_id):
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def describe(error, request_id):
    if isinstance(error, Fault):
        return error_object(error.kind, error.message, error.trace, request_id)
    frames = traceback.extract_tb(error.__traceback__)
    frames = [f for f in frames if f.filename != os.path.abspath(__file__)]
    return error_object(type(error).__name__, str(error), traceback.format_list(frames), request_id)


def log_error(o):
    text = "[ERROR] %s: %s" % (o["errorType"], o["errorMessage"])
    if o["stackTrace"]:
        text += "\nTraceback (most recent call last):\n" + "".join(o["stackTrace"])
    log_line(text)


def encode(value):
    # Surrogates without a partner are valid in Python and not in UTF-8.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


# botocore before 1.31, which is boto3 before 1.28, does not read AWS_ENDPOINT_URL: what a
# function asks for would go to Amazon. When such a one is imported it learns to.
class EndpointFinder:
    def find_spec(self, name, path=None, target=None):
        if name != "botocore.session":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                break
        else:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            teach(module)

        spec.loader.exec_module = exec_module
        return spec


def teach(module):
    version = [int(n) for n in sys.modules["botocore"].__version__.split(".")[:2]]
    if version >= [1, 31]:
        return
    create_client = module.Session.create_client

    @functools.wraps(create_client)
    def with_endpoint(self, service_name, *args, **options):
        if len(args) < 5 and options.get("endpoint_url") is None:
            options["endpoint_url"] = endpoint(self, service_name)
        return create_client(self, service_name, *args, **options)

    module.Session.create_client = with_endpoint


def endpoint(session, service_name):
    """The endpoint in the environment ("Service-specific endpoints", AWS SDKs and Tools Reference Guide)."""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    if any(name.startswith("AWS_ENDPOINT_URL_") for name in os.environ):
        service = session.get_service_model(service_name).service_id.replace(" ", "_").upper()
        if os.environ.get("AWS_ENDPOINT_URL_" + service):
            return os.environ["AWS_ENDPOINT_URL_" + service]
    return os.environ.get("AWS_ENDPOINT_URL") or None


# Handlers.
def load(name):
    try:
        module_name, function_name = name.rsplit(".", 1)
    except ValueError as e:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (name, e))
    try:
        if module_name.split(".")[0] in sys.builtin_module_names:
            raise Fault("Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name)
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as e:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, e), here(e))
    except SyntaxError as e:
        trace = ['  File "%s" Line %s\n    %s' % (e.filename, e.lineno, (e.text or "").rstrip("\n"))]
        raise Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, e), trace)
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function_name, module_name))


def here(error):
    """The frames of the function's own files: not of ours, nor of the import machinery."""
    root = os.environ["LAMBDA_TASK_ROOT"]
    return traceback.format_list([f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(root)])


def serve(runtime, handler):
    headers, body = runtime.next()
    request_id = headers["Lambda-Runtime-Aws-Request-Id"]
    RequestIDFilter.request_id = request_id
    trace = headers.get("Lambda-Runtime-Trace-Id")
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    path = "invocation/%s/" % request_id
    try:
        context = LambdaContext(headers)
        try:
            event = json.loads(body)
        except ValueError as e:
            raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % e)
        result = handler(event, context)
        try:
            answer = encode(result)
        except Exception as e:
            raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % e)
    except Exception as e:
        o = describe(e, request_id)
        log_error(o)
        runtime.answer(path + "error", encode(o), {"Lambda-Runtime-Function-Error-Type": header(o["errorType"])})
        return
    runtime.answer(path + "response", answer)


def header(text):
    return text.encode("ascii", "replace").decode("ascii")


def main():
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr.reconfigure(errors="backslashreplace")
    # AWS's order: the function, its layers, the rest; this file's directory last.
    sys.path[:] = [p for p in sys.path if p != HERE]
    task = os.environ["LAMBDA_TASK_ROOT"]
    if task in sys.path:
        sys.path.remove(task)
    sys.path.insert(0, task)
    sys.path.append(HERE)
    # What a function imports as __main__ or bootstrap is not us.
    set_up_logging()
    sys.meta_path.insert(0, EndpointFinder())
    runtime = Runtime()
    try:
        handler = load(os.environ["_HANDLER"])
    except BaseException as e:
        if isinstance(e, SystemExit):
            raise
        o = describe(e, "")
        log_error(o)
        runtime.answer("init/error", encode(o), {"Lambda-Runtime-Function-Error-Type": header(o["errorType"])})
        sys.exit(1)
    while True:
        serve(runtime, handler)


if __name__ == "__main__":
    main()
