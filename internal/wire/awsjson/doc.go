// Package awsjson is the codec of the protocols AWS JSON 1.0 and 1.1: bodies
// of requests and answers, and errors. It walks the generated structures by
// their shapes, without reflection. Headers and routing are the gateway's.
// REST's bodies are the same: package restjson uses this one for them, and
// members that REST has elsewhere (api.Member.Location) are in no body.
//
// # What it accepts
//
// An empty body counts as {}. Unknown members are ignored, since newer SDKs
// send them, but must be JSON. A null member equals an absent one. Of a key given twice
// the last one counts, as in AWS's parser.
//
// # What it refuses
//
// Everything that would lose or change a value on its way in, with a
// SerializationException: bytes that are not UTF-8, half surrogate pairs,
// fractions for integers, base64 that is not canonical, null inside a list or map.
// Also bodies nested deeper than 100, and anything after the object. No error
// repeats a value of the body.
//
// Decode copies: nothing in the structure refers to the body, which the
// caller may wipe.
package awsjson
