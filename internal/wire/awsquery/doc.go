// Package awsquery is the codec of the Query protocol: IAM, STS, CloudFormation
// and old clients of CloudWatch. It walks the generated structures by their
// shapes, without reflection. Headers and routing are the gateway's.
//
// # Requests
//
// A request is a form, in the body or in the query string of a GET:
//
//	Action=TagUser&Version=2010-05-08&UserName=ana     plain members
//	&Tags.member.1.Key=team&Tags.member.1.Value=red    a list of structures
//	&TagKeys.member.1=team&TagKeys.member.2=cost       a list of strings
//	&TagKeys=                                          a list that is present and empty
//	&Owner.Name=ana                                    a structure
//	&Env.entry.1.key=a&Env.entry.1.value=b             a map
//	&Names.1=a&Env.1.key=a&Env.1.value=b               the same flattened, where the model says so
//
// [ParseForm] reads the form, [Decode] fills a generated input from it. Indices
// count from 1, in any order, and gaps close up. Unknown members are ignored,
// since newer SDKs send them.
//
// Refused is everything that would lose or change a value on its way in: a
// parameter given twice (AWS SDKs never do, and two readers of one request must
// not see two values), broken percent escapes, text that is not UTF-8, base64
// that is not canonical, a list or a structure where a plain value must stand
// and the other way round, a list without its "member": a session policy that
// is overlooked grants more than the caller meant. Also more than 10,000
// parameters and names over 512 bytes. No error repeats a value or a name of
// the form.
//
// What cannot be read as a form is MalformedQueryString; what has another form
// than the model says is a SerializationException, which Query clients know as
// MalformedInput.
//
// Decode copies: nothing in the structure refers to the form, which the caller
// may [Form.Wipe].
//
// # Answers
//
// [Append] writes the answer, [AppendError] an error:
//
//	<ListUsersResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
//	  <ListUsersResult>                               absent where the model has no output
//	    <Users>
//	      <member>
//	        <UserName>ana</UserName>
//	        <CreateDate>2026-01-31T10:20:30Z</CreateDate>
//	        <Tags/>                                   present and empty; absent members are left out
//	      </member>
//	    </Users>
//	    <Map><entry><key>a</key><value>b</value></entry></Map>
//	  </ListUsersResult>
//	  <ResponseMetadata><RequestId>...</RequestId></ResponseMetadata>
//	</ListUsersResponse>
//
//	<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
//	  <Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>...</Message></Error>
//	  <RequestId>...</RequestId>
//	</ErrorResponse>
//
// on one line and without an XML declaration, as AWS does. What is written is
// well-formed whatever the values: characters that XML 1.0 cannot carry become
// U+FFFD. Times are cut to seconds. A flattened list or map that is empty
// leaves no trace.
package awsquery
