// Package restjson is the codec of the protocol REST-JSON: Lambda. It walks the
// generated structures by their shapes, without reflection.
//
// # Requests
//
//	POST /2015-03-31/functions/my%3Af/invocations?Qualifier=%24LATEST
//	X-Amz-Invocation-Type: Event
//
//	{"any":"payload"}
//
// A [Router] finds the operation by method, path and query, before the body is
// read. [Decode] fills the generated input from the labels of the path, the query,
// the headers and the body, which is a JSON object of the other members, or one
// member as it is. JSON is package awsjson's, texts are package text's; what
// these refuse is refused here. Unknown parameters, headers and JSON members are
// ignored, and so is the body of an operation that has none.
//
// Router and Decode see the path and the query as the signature does
// (sigv4.Target). Headers that are bound to members begin with X-Amz-, so that
// they are signed. Also refused are a parameter or header given twice where the
// model has one value, texts that are not UTF-8, and broken percent escapes. No
// error repeats a value.
//
// Decode copies: nothing in the structure refers to the body, which the caller
// may wipe.
//
// # Answers
//
// [Append] writes the answer, [AppendError] an error, each with its headers and
// its status:
//
//	HTTP/1.1 404 Not Found
//	Content-Type: application/json
//	X-Amzn-Errortype: ResourceNotFoundException
//
//	{"Type":"User","Message":"Function not found: ..."}
//
// # What it does not do
//
// Event streams (InvokeWithResponseStream), lists in headers, host prefixes and
// JSON names that differ from the members': [NewRouter] refuses to serve an
// operation that needs them. Of the members of errors only texts are sent.
package restjson
