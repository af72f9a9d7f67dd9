// The runtime client for Node.js functions: loads the handler as AWS Lambda's does and
// serves events from the Lambda Runtime API. Node.js 16 and later, no packages.
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import util from "node:util";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const base = "/2018-06-01/runtime/";
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

// call asks the Runtime API. There is no timeout: an event may be long in coming.
function call(method, where, headers = {}, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, agent, method, path: base + where, headers }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function answer(where, body, kind) {
  const bytes = Buffer.from(body);
  const headers = { "Content-Type": "application/json", "Content-Length": bytes.length };
  if (kind) headers["Lambda-Runtime-Function-Error-Type"] = kind.replace(/[^\x20-\x7e]/g, "?");
  let response;
  try {
    response = await call("POST", where, headers, bytes);
  } catch {
    return; // refused before it was read
  }
  if (response.status >= 500) throw new Error(`${where}: ${response.status}`);
  if (response.status !== 202 && response.status !== 413) print("ERROR", `${where}: ${response.status} ${response.body}`);
}

// Logging. A record of several lines is one event: carriage returns stand for its line
// breaks until it is on the other side.
let requestID;

function print(level, ...args) {
  const text = util.format(...args).replace(/\n/g, "\r");
  process.stdout.write(`${new Date().toISOString()}\t${requestID}\t${level}\t${text}\n`);
}

Object.assign(console, {
  log: (...args) => print("INFO", ...args),
  info: (...args) => print("INFO", ...args),
  debug: (...args) => print("DEBUG", ...args),
  warn: (...args) => print("WARN", ...args),
  error: (...args) => print("ERROR", ...args),
  trace: (...args) => print("TRACE", ...args),
  fatal: (...args) => print("FATAL", ...args),
});

// Errors.
class Fault extends Error {
  constructor(kind, message, trace) {
    super(message);
    this.name = kind;
    if (trace) this.stack = trace;
  }
}

function describe(error) {
  if (util.types.isNativeError(error) || error instanceof Error) {
    return {
      errorType: String(error.name ?? "Error"),
      errorMessage: String(error.message ?? ""),
      trace: String(error.stack ?? "").split("\n"),
    };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

// logged is what goes to the log: the error's own members too, and the stack.
function logged(error) {
  const o = describe(error);
  const own = error instanceof Error ? { ...error } : {};
  delete own.name;
  try {
    return JSON.stringify({ errorType: o.errorType, errorMessage: o.errorMessage, ...own, stack: o.trace });
  } catch {
    return JSON.stringify({ errorType: o.errorType, errorMessage: o.errorMessage, stack: o.trace });
  }
}

// Handlers: "dir/file.handler", also "file.object.method".
const streaming = Symbol("streaming");

globalThis.awslambda = {
  streamifyResponse(handler) {
    handler[streaming] = true;
    return handler;
  },
  HttpResponseStream: {
    from() {
      throw new Fault("Runtime.InvalidStreamingOperation", "Response streaming is not supported");
    },
  },
};

async function load(root, name) {
  if (name.includes("..")) throw new Fault("Runtime.MalformedHandlerName", `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  const directory = path.dirname(name);
  const match = /^([^.]*)\.(.*)$/.exec(path.basename(name));
  if (!match || !match[1] || !match[2]) throw new Fault("Runtime.MalformedHandlerName", "Bad handler");
  const [, file, method] = match;
  let module;
  try {
    module = await loadModule(root, path.join(directory, file));
  } catch (error) {
    if (error instanceof SyntaxError) throw new Fault("Runtime.UserCodeSyntaxError", error.toString(), error.stack);
    if (["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"].includes(error?.code)) throw new Fault("Runtime.ImportModuleError", error.toString(), error.stack);
    throw error;
  }
  const find = (o) => method.split(".").reduce((at, key) => at?.[key], o);
  const handler = find(module) ?? find(module?.default);
  if (handler === undefined || handler === null) throw new Fault("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof handler !== "function") throw new Fault("Runtime.HandlerNotFound", `${name} is not a function`);
  if (handler[streaming]) throw new Fault("Runtime.InvalidStreamingOperation", "Response streaming is not supported: the handler is wrapped in awslambda.streamifyResponse");
  return handler;
}

async function loadModule(root, where) {
  const file = path.resolve(root, where);
  for (const extension of ["", ".js", ".mjs", ".cjs"]) {
    if (!fs.existsSync(file + extension) || !fs.statSync(file + extension).isFile()) continue;
    if (extension === ".mjs" || ((extension === ".js" || extension === "") && isModule(path.dirname(file)))) {
      return import(pathToFileURL(file + extension).href);
    }
    return createRequire(path.join(root, "/"))(file + extension);
  }
  // Not a file of the function: a package, of a layer perhaps.
  const require = createRequire(path.join(root, "/"));
  return require(require.resolve(where.startsWith("/") ? where.slice(1) : where));
}

// isModule looks for the package.json that says what .js is.
function isModule(directory) {
  for (let at = directory; ; at = path.dirname(at)) {
    if (path.basename(at) === "node_modules") return false;
    try {
      return JSON.parse(fs.readFileSync(path.join(at, "package.json"), "utf8")).type === "module";
    } catch {
      // none here, or none that can be read
    }
    if (at === path.dirname(at)) return false;
  }
}

// The context object ("Using the Lambda context object to retrieve Node.js function information").
function makeContext(headers, callback) {
  const parse = (name) => {
    const text = headers[name];
    return text ? JSON.parse(Buffer.from(text, "latin1").toString("utf8")) : undefined;
  };
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const env = process.env;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parse("lambda-runtime-client-context"),
    identity: parse("lambda-runtime-cognito-identity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: (error, result) => callback(error, result, true),
    fail: (error) => callback(error ?? "handled", undefined, true),
    succeed: (result) => callback(null, result, true),
  };
}

// Ends of the event loop: an answer waits for it (callbackWaitsForEmptyEventLoop), or
// shows that there will be none.
let atEnd = null;
process.on("beforeExit", () => {
  const act = atEnd;
  atEnd = null;
  act?.();
});

// run calls the handler and resolves to { value } or { error }.
function run(handler, event, headers) {
  return new Promise((resolve) => {
    let settled = false;
    const settle = (outcome) => {
      atEnd = null;
      resolve(outcome);
    };
    const callback = (error, value, now) => {
      if (settled) return;
      settled = true;
      const outcome = error !== null && error !== undefined ? { error } : { value };
      if (now || !context.callbackWaitsForEmptyEventLoop) settle(outcome);
      else atEnd = () => settle(outcome);
    };
    const context = makeContext(headers, callback);
    atEnd = () => settle({ value: null });
    let result;
    try {
      result = handler(event, context, callback);
    } catch (error) {
      settled = true;
      settle({ error });
      return;
    }
    if (typeof result?.then !== "function") return;
    if (!settled) {
      atEnd = () => settle({
        error: new Fault("Runtime.NodeJsExit", "The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise that was never settled. For more information, see https://nodejs.org/docs/latest/api/process.html#process_exit_codes"),
      });
    }
    result.then(
      (value) => { if (!settled) { settled = true; settle({ value }); } },
      (error) => { if (!settled) { settled = true; settle({ error }); } },
    );
  });
}

async function serve(handler) {
  const { status, headers, body } = await call("GET", "invocation/next");
  if (status !== 200) throw new Error(`next event: ${status} ${body}`);
  requestID = headers["lambda-runtime-aws-request-id"];
  if (headers["lambda-runtime-trace-id"]) process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
  const where = `invocation/${requestID}/`;
  let outcome;
  try {
    outcome = await run(handler, JSON.parse(body.toString("utf8")), headers);
  } catch (error) {
    outcome = { error };
  }
  if (!("error" in outcome)) {
    let text;
    try {
      text = JSON.stringify(outcome.value === undefined ? null : outcome.value);
      if (text === undefined) text = "null"; // a function, a symbol
    } catch (error) {
      outcome = { error: new Fault("Runtime.MarshalError", `Unable to stringify response body: ${error.message}`) };
    }
    if (text !== undefined) return answer(where + "response", text);
  }
  console.error("Invoke Error", "\t" + logged(outcome.error));
  const o = describe(outcome.error);
  return answer(where + "error", JSON.stringify(o), o.errorType);
}

// Errors that nobody catches end the process, with an answer for the event under way.
async function die(title, kind, error, code) {
  console.error(title, "\t" + logged(error));
  const o = describe(error);
  const fault = kind ? { errorType: kind, errorMessage: String(error), trace: o.trace } : o;
  try {
    await answer(requestID ? `invocation/${requestID}/error` : "init/error", JSON.stringify(fault), fault.errorType);
  } finally {
    process.exit(code);
  }
}
process.on("uncaughtException", (error) => die("Uncaught Exception", "", error, 129));
process.on("unhandledRejection", (reason) => die("Unhandled Promise Rejection", "Runtime.UnhandledPromiseRejection", reason, 128));

async function main() {
  let handler;
  try {
    handler = await load(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
  } catch (error) {
    console.error(error instanceof Fault ? "Uncaught Exception" : "Init Error", "\t" + logged(error));
    const o = describe(error);
    await answer("init/error", JSON.stringify(o), o.errorType);
    process.exit(1);
  }
  for (;;) await serve(handler);
}
main();
