//lint:file-ignore SA1019 the deprecated operations are served, too

package cloudwatchlogs_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"coffer/internal/coffertest/check"
)

const (
	noGroup    = "ResourceNotFoundException: The specified log group does not exist."
	noStream   = "ResourceNotFoundException: The specified log stream does not exist."
	noResource = "ResourceNotFoundException: The specified resource does not exist."
	badToken   = "InvalidParameterException: The specified nextToken is invalid."
	protected  = "ValidationException: Log group deletion is blocked because deletion protection is enabled. Disable deletion protection before deleting the log group."
)

func TestGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.millis(0)
	create := func(edit func(*cloudwatchlogs.CreateLogGroupInput)) func() string {
		return func() string {
			in := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: new("g")}
			edit(in)
			return check.Now(w.CreateLogGroup, in)
		}
	}
	protect := func(group string, on bool) func() string {
		return func() string {
			return check.Now(w.PutLogGroupDeletionProtection, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: &group, DeletionProtectionEnabled: &on})
		}
	}
	remove := func(group string) func() string {
		return func() string {
			return check.Now(w.DeleteLogGroup, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &group})
		}
	}
	retain := func(group string, days int32) func() string {
		return func() string {
			return check.Now(w.PutRetentionPolicy, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: &days})
		}
	}
	check.Run(t, []check.Rule{
		{"made", create(func(in *cloudwatchlogs.CreateLogGroupInput) { in.Tags = map[string]string{"k": "v"} }), "ok"},
		{"made again", create(func(*cloudwatchlogs.CreateLogGroupInput) {}), "ResourceAlreadyExistsException: The specified log group already exists"},
		{"a KMS key is refused, not ignored", create(func(in *cloudwatchlogs.CreateLogGroupInput) { in.LogGroupName, in.KmsKeyId = new("k"), new("alias/k") }),
			"InvalidParameterException: Coffer does not encrypt log groups under KMS keys; all rows are encrypted under the store's own key. Leave kmsKeyId out."},
		{"so is a class that behaves in another way", create(func(in *cloudwatchlogs.CreateLogGroupInput) {
			in.LogGroupName, in.LogGroupClass = new("k"), types.LogGroupClassDelivery
		}), "InvalidParameterException: The log class DELIVERY is not supported."},
		{"a reserved name", create(func(in *cloudwatchlogs.CreateLogGroupInput) { in.LogGroupName = new("Aws/x") }),
			"InvalidParameterException: Log groups starting with AWS/ are reserved for AWS."},
		{"a bad name", create(func(in *cloudwatchlogs.CreateLogGroupInput) { in.LogGroupName = new("a b") }),
			`InvalidParameterException: 1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`},
		{"a reserved tag", create(func(in *cloudwatchlogs.CreateLogGroupInput) {
			in.LogGroupName, in.Tags = new("k"), map[string]string{"aws:x": "y"}
		}), "InvalidParameterException: aws: prefixed tag key names are not allowed for external use."},
		{"of another class, protected", create(func(in *cloudwatchlogs.CreateLogGroupInput) {
			in.LogGroupName, in.LogGroupClass, in.DeletionProtectionEnabled = new("rare"), types.LogGroupClassInfrequentAccess, new(true)
		}), "ok"},
		{"protected from deletion", remove("rare"), protected},
		{"unprotected", protect("rare", false), "ok"},
		{"deleted", remove("rare"), "ok"},
		{"deleted again", remove("rare"), noGroup},
		{"protect by ARN", protect(w.arn("g"), true), "ok"},
		{"protected by ARN", remove("g"), protected},
		{"of another region", protect(strings.Replace(w.arn("g"), region, "us-east-1", 1), false), noGroup},
		{"of another service", protect(strings.Replace(w.arn("g"), ":logs:", ":s3:", 1), false), "InvalidParameterException: The specified log group identifier is invalid."},
		{"protect none", protect("none", true), noGroup},
		{"retention", retain("g", 7), "ok"},
		{"retention of none", retain("none", 7), noGroup},
		{"an odd retention", retain("g", 2), "InvalidParameterException: 1 validation error detected: Value '2' at 'retentionInDays' failed to satisfy constraint: " +
			"Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]"},
	})

	g := check.Must(t, w.DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{}).LogGroups[0]
	check.Equal(t, "name", *g.LogGroupName, "g")
	check.Equal(t, "arn", *g.Arn, w.arn("g")+":*")
	check.Equal(t, "own arn", *g.LogGroupArn, w.arn("g"))
	check.Equal(t, "class", g.LogGroupClass, types.LogGroupClassStandard)
	check.Equal(t, "retention", *g.RetentionInDays, 7)
	check.Equal(t, "protection", *g.DeletionProtectionEnabled, true)
	check.Equal(t, "metric filters", *g.MetricFilterCount, 0)
	if *g.CreationTime < before || *g.CreationTime > w.millis(0) {
		t.Errorf("created at %d", *g.CreationTime)
	}
	// What AWS counts: the message, and 26 bytes for each event.
	check.Must(t, w.CreateLogStream, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: new("g"), LogStreamName: new("s")})
	w.put(t, "g", "s", event(before, "12345"), event(before, "ä"))
	g = check.Must(t, w.DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{}).LogGroups[0]
	check.Equal(t, "bytes", *g.StoredBytes, 5+2+2*26)
	for range 2 { // also where there is none
		check.Must(t, w.DeleteRetentionPolicy, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: new("g")})
	}
	g = check.Must(t, w.DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{}).LogGroups[0]
	if g.RetentionInDays != nil {
		t.Errorf("retention %d", *g.RetentionInDays)
	}
	check.Equal(t, "retention of none", check.Now(w.DeleteRetentionPolicy, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: new("none")}), noGroup)
	// Groups of another region are others.
	check.Equal(t, "elsewhere", len(check.Must(t, w.in("us-east-1", w.Credentials).DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{}).LogGroups), 0)
}

func TestListGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 7 {
		in := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: new(fmt.Sprint("/app/", i)), Tags: map[string]string{"n": fmt.Sprint(i % 3)}}
		if i == 5 {
			in.LogGroupClass = types.LogGroupClassInfrequentAccess
		}
		check.Must(t, w.CreateLogGroup, in)
	}
	w.group(t, "/zoo")
	describe := func(in cloudwatchlogs.DescribeLogGroupsInput) string {
		var names []string
		for p := cloudwatchlogs.NewDescribeLogGroupsPaginator(w, &in); p.HasMorePages(); {
			out, err := p.NextPage(ctx)
			if err != nil {
				return check.Outcome(err)
			}
			page := ""
			for _, g := range out.LogGroups {
				page += strings.TrimPrefix(*g.LogGroupName, "/app/")
			}
			names = append(names, page)
		}
		return strings.Join(names, "|")
	}
	list := func(in cloudwatchlogs.ListLogGroupsInput) string {
		var names []string
		for { // the SDK has no paginator
			out, err := w.ListLogGroups(ctx, &in)
			if err != nil {
				return check.Outcome(err)
			}
			page := ""
			for _, g := range out.LogGroups {
				page += strings.TrimPrefix(*g.LogGroupName, "/app/")
			}
			names = append(names, page)
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return strings.Join(names, "|")
			}
		}
	}
	type describing = cloudwatchlogs.DescribeLogGroupsInput
	type listing = cloudwatchlogs.ListLogGroupsInput
	tagged := func(values ...string) func() string {
		return func() string {
			return list(listing{LogGroupTags: []types.TagFilter{{Key: new("n"), Values: values}}})
		}
	}
	check.Run(t, []check.Rule{
		{"all", func() string { return describe(describing{}) }, "0123456/zoo"},
		{"pages", func() string { return describe(describing{Limit: new(int32(3))}) }, "012|345|6/zoo"},
		{"prefix", func() string { return describe(describing{LogGroupNamePrefix: new("/app"), Limit: new(int32(5))}) }, "01234|56"},
		{"pattern", func() string { return describe(describing{LogGroupNamePattern: new("oo")}) }, "/zoo"},
		{"class", func() string { return describe(describing{LogGroupClass: types.LogGroupClassInfrequentAccess}) }, "5"},
		{"these", func() string {
			return describe(describing{LogGroupIdentifiers: []string{"/app/3", "none", w.arn("/app/1")}})
		}, "31"},
		{"prefix and pattern", func() string {
			return describe(describing{LogGroupNamePrefix: new("/app"), LogGroupNamePattern: new("oo")})
		}, "InvalidParameterException: LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."},
		{"these and a limit", func() string {
			return describe(describing{LogGroupIdentifiers: []string{"/app/3"}, Limit: new(int32(3))})
		}, "InvalidParameterException: logGroupIdentifiers cannot be combined with other filters."},
		{"another account", func() string { return describe(describing{AccountIdentifiers: []string{"999988887777"}}) },
			"InvalidParameterException: Cross-account observability is not supported: accountIdentifiers can only name the caller's account."},
		{"bad token", func() string { return describe(describing{NextToken: new("x")}) }, badToken},
		{"token of another list", func() string {
			token := check.Must(t, w.DescribeLogGroups, &describing{Limit: new(int32(1))}).NextToken
			return describe(describing{NextToken: token, LogGroupNamePrefix: new("/app")})
		}, badToken},

		{"list", func() string { return list(listing{Limit: new(int32(5))}) }, "01234|56/zoo"},
		{"list by pattern", func() string { return list(listing{LogGroupNamePattern: new("^/zoo|pp/3")}) }, "3/zoo"},
		{"list by beginning", func() string { return list(listing{LogGroupNamePattern: new("^zoo")}) }, ""},
		{"list by class", func() string { return list(listing{LogGroupClass: types.LogGroupClassInfrequentAccess}) }, "5"},
		{"list by data source", func() string {
			return list(listing{DataSources: []types.DataSourceFilter{{Name: new("x")}}})
		}, ""},
		{"by a tag", tagged(), "0123456"},
		{"by its value", tagged("1"), "14"},
		{"by values", tagged("1", "2"), "1245"},
		{"by no such value", tagged("!1"), "02356"},
		{"by a beginning", tagged("2*"), "25"},
		{"by token of the other", func() string {
			return list(listing{NextToken: check.Must(t, w.DescribeLogGroups, &describing{Limit: new(int32(1))}).NextToken})
		}, badToken},
	})
	only := check.Must(t, w.DescribeLogGroups, &describing{LogGroupNamePattern: new("zoo")}).LogGroups[0]
	if only.LogGroupArn != nil || only.StoredBytes != nil || *only.Arn != w.arn("/zoo")+":*" {
		t.Error("a pattern gives arn, creationTime and logGroupName alone")
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g", "a", "b", "c", "2026/01/[$LATEST]x")
	start := w.millis(time.Minute)
	w.put(t, "g", "b", event(start+1, "1"), event(start+7, "2"))
	w.put(t, "g", "a", event(start+9, "3"))
	list := func(edit func(*cloudwatchlogs.DescribeLogStreamsInput)) func() string {
		return func() string {
			in := cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: new("g")}
			edit(&in)
			var pages []string
			for p := cloudwatchlogs.NewDescribeLogStreamsPaginator(w, &in); p.HasMorePages(); {
				out, err := p.NextPage(ctx)
				if err != nil {
					return check.Outcome(err)
				}
				var names []string
				for _, s := range out.LogStreams {
					names = append(names, strings.TrimPrefix(*s.LogStreamName, "2026/01/"))
				}
				pages = append(pages, strings.Join(names, " "))
			}
			return strings.Join(pages, "|")
		}
	}
	type in = cloudwatchlogs.DescribeLogStreamsInput
	create := func(group, stream string) func() string {
		return func() string {
			return check.Now(w.CreateLogStream, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
		}
	}
	remove := func(group, stream string) func() string {
		return func() string {
			return check.Now(w.DeleteLogStream, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
		}
	}
	check.Run(t, []check.Rule{
		{"by name", list(func(*in) {}), "[$LATEST]x a b c"},
		{"pages", list(func(i *in) { i.Limit = new(int32(3)) }), "[$LATEST]x a b|c"},
		{"backward", list(func(i *in) { i.Limit, i.Descending = new(int32(2)), new(true) }), "c b|a [$LATEST]x"},
		{"prefix", list(func(i *in) { i.LogStreamNamePrefix, i.Descending = new("2026/"), new(true) }), "[$LATEST]x"},
		{"by time", list(func(i *in) { i.OrderBy, i.Limit = types.OrderByLastEventTime, new(int32(3)) }), "[$LATEST]x c b|a"},
		{"newest first", list(func(i *in) { i.OrderBy, i.Descending, i.Limit = types.OrderByLastEventTime, new(true), new(int32(1)) }), "a|b|c|[$LATEST]x"},
		{"by ARN", list(func(i *in) { i.LogGroupName, i.LogGroupIdentifier = nil, new(w.arn("g")) }), "[$LATEST]x a b c"},
		{"by time with a prefix", list(func(i *in) { i.OrderBy, i.LogStreamNamePrefix = types.OrderByLastEventTime, new("a") }),
			"InvalidParameterException: Cannot order by LastEventTime with a logStreamNamePrefix."},
		{"of none", list(func(i *in) { i.LogGroupName = new("none") }), noGroup},
		{"bad token", list(func(i *in) { i.NextToken = new("x") }), badToken},
		{"exists", create("g", "a"), "ResourceAlreadyExistsException: The specified log stream already exists"},
		{"no group", create("none", "a"), noGroup},
		{"bad name", create("g", "a:b"),
			"InvalidParameterException: 1 validation error detected: Value 'a:b' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*"},
		{"zero byte", create("g", "a\x00b"), "InvalidParameterException: The specified log stream name is invalid."},
		{"delete", remove("g", "c"), "ok"},
		{"delete again", remove("g", "c"), noStream},
		{"delete of none", remove("none", "c"), noGroup},
		{"deleted", list(func(*in) {}), "[$LATEST]x a b"},
	})
	out := check.Must(t, w.DescribeLogStreams, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: new("g"), LogStreamNamePrefix: new("b")})
	b := out.LogStreams[0]
	check.Equal(t, "arn", *b.Arn, w.arn("g")+":log-stream:b")
	check.Equal(t, "first", *b.FirstEventTimestamp, start+1)
	check.Equal(t, "last", *b.LastEventTimestamp, start+7)
	if *b.LastIngestionTime < start || len(*b.UploadSequenceToken) != 56 {
		t.Errorf("ingested %d, token %s", *b.LastIngestionTime, *b.UploadSequenceToken)
	}

	// A stream made anew has nothing of the one before.
	check.Must(t, w.DeleteLogStream, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: new("g"), LogStreamName: new("b")})
	check.Must(t, w.CreateLogStream, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: new("g"), LogStreamName: new("b")})
	got, _ := w.get(t, cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("b")})
	check.Equal(t, "made anew", got, "")
	got, _ = w.filter(t, cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("g")})
	check.Equal(t, "of the group", got, "a:3")
	// Nor has a group.
	check.Must(t, w.DeleteLogGroup, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: new("g")})
	w.group(t, "g", "a")
	got, _ = w.filter(t, cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("g")})
	check.Equal(t, "group made anew", got, "")
	check.Equal(t, "its bytes", *check.Must(t, w.DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{}).LogGroups[0].StoredBytes, 0)
	check.Must(t, w.PutLogGroupDeletionProtection, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: new("g"), DeletionProtectionEnabled: new(true)})
	check.Equal(t, "a stream of a protected group", remove("g", "a")(), protected)
}

func TestTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g")
	show := func(m map[string]string) string {
		var all []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			all = append(all, k+"="+m[k])
		}
		return strings.Join(all, " ")
	}
	tag := func(arn string, tags map[string]string) func() string {
		return func() string {
			return check.Now(w.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: &arn, Tags: tags})
		}
	}
	list := func() string {
		return show(check.Must(t, w.ListTagsForResource, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: new(w.arn("g"))}).Tags)
	}
	many := func(from, n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("many", from+i)] = ""
		}
		return m
	}
	check.Run(t, []check.Rule{
		{"tag", tag(w.arn("g"), map[string]string{"b": "1", "a": "ä"}), "ok"},
		{"replace", tag(w.arn("g"), map[string]string{"b": "2"}), "ok"},
		{"list", list, "a=ä b=2"},
		{"by the older operation", func() string {
			return check.Now(w.TagLogGroup, &cloudwatchlogs.TagLogGroupInput{LogGroupName: new("g"), Tags: map[string]string{"c": "3"}})
		}, "ok"},
		{"listed by the older operation", func() string {
			return show(check.Must(t, w.ListTagsLogGroup, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: new("g")}).Tags)
		}, "a=ä b=2 c=3"},
		{"untag", func() string {
			return check.Now(w.UntagResource, &cloudwatchlogs.UntagResourceInput{ResourceArn: new(w.arn("g")), TagKeys: []string{"a", "none"}})
		}, "ok"},
		{"untag by the older operation", func() string {
			return check.Now(w.UntagLogGroup, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: new("g"), Tags: []string{"c"}})
		}, "ok"},
		{"what is left", list, "b=2"},
		{"reserved", tag(w.arn("g"), map[string]string{"AWS:x": ""}), "InvalidParameterException: aws: prefixed tag key names are not allowed for external use."},
		{"too many", tag(w.arn("g"), many(0, 50)), "TooManyTagsException: A resource can have no more than 50 tags."},
		{"nothing is left of that", list, "b=2"},
		{"as many as may be", tag(w.arn("g"), many(0, 49)), "ok"},
		{"one more by the older operation", func() string {
			return check.Now(w.TagLogGroup, &cloudwatchlogs.TagLogGroupInput{LogGroupName: new("g"), Tags: map[string]string{"c": "3"}})
		}, "InvalidParameterException: A resource can have no more than 50 tags."},
		{"no ARN", tag("g", map[string]string{"a": ""}), "InvalidParameterException: The specified resource ARN is invalid: g"},
		{"no group's ARN", tag("arn:aws:s3:::g", map[string]string{"a": ""}), "InvalidParameterException: The specified resource ARN is invalid: arn:aws:s3:::g"},
		{"absent", tag(w.arn("none"), map[string]string{"a": ""}), noResource},
		{"untag absent", func() string {
			return check.Now(w.UntagResource, &cloudwatchlogs.UntagResourceInput{ResourceArn: new(w.arn("none")), TagKeys: []string{"a"}})
		}, noResource},
		{"list absent", func() string {
			return check.Now(w.ListTagsForResource, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: new(w.arn("none"))})
		}, noResource},
		{"list absent by the older operation", func() string {
			return check.Now(w.ListTagsLogGroup, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: new("none")})
		}, noGroup},
		{"untag absent by the older operation", func() string {
			return check.Now(w.UntagLogGroup, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: new("none"), Tags: []string{"c"}})
		}, noGroup},
	})
}

func TestAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "/app", "s")
	w.group(t, "/other", "s")
	check.Must(t, w.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: new(w.arn("/app")), Tags: map[string]string{"team": "blue"}})
	nobody := w.user(t, "nobody")
	writer := w.user(t, "writer", fmt.Sprintf(`{"Effect":"Allow","Action":["logs:CreateLogStream","logs:PutLogEvents"],"Resource":%q}`, w.arn("/app:*")))
	reader := w.user(t, "reader", `{"Effect":"Allow","Action":"logs:GetLogEvents","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"blue"}}}`,
		fmt.Sprintf(`{"Effect":"Allow","Action":"logs:DescribeLogGroups","Resource":%q}`, w.arn("*")))
	maker := w.user(t, "maker", `{"Effect":"Allow","Action":"logs:CreateLogGroup","Resource":"*"}`)
	tagger := w.user(t, "tagger", `{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:TagResource"],"Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"blue"}}}`)
	other := w.as(w.otherAccount(t))

	denied := func(user, operation, resource string) string {
		return "AccessDeniedException: User: arn:aws:iam::" + w.account + ":user/" + user + " is not authorized to perform: logs:" + operation +
			" on resource: " + resource + " because no identity-based policy allows the logs:" + operation + " action"
	}
	app, appStream := w.arn("/app:log-stream:"), w.arn("/app:log-stream:s")
	put := func(c *cloudwatchlogs.Client, group string) func() string {
		return func() string {
			return check.Now(c.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: new("s"), LogEvents: numbered(w.millis(0), 1)})
		}
	}
	get := func(c *cloudwatchlogs.Client, group string) func() string {
		return func() string {
			return check.Now(c.GetLogEvents, &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: new("s")})
		}
	}
	create := func(c *cloudwatchlogs.Client, group string, tags map[string]string) func() string {
		return func() string {
			return check.Now(c.CreateLogGroup, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group, Tags: tags})
		}
	}
	check.Run(t, []check.Rule{
		{"put", put(writer, "/app"), "ok"},
		{"put elsewhere", put(writer, "/other"), denied("writer", "PutLogEvents", w.arn("/other:log-stream:s"))},
		{"existence is not told", put(writer, "/none"), denied("writer", "PutLogEvents", w.arn("/none:log-stream:s"))},
		{"get by tag", get(reader, "/app"), "ok"},
		{"get of an untagged group", get(reader, "/other"), denied("reader", "GetLogEvents", w.arn("/other:log-stream:s"))},
		{"list", func() string { return check.Now(reader.DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{}) }, "ok"},
		{"create", create(maker, "/made", nil), "ok"},
		{"create with tags", create(maker, "/made2", map[string]string{"team": "red"}),
			"AccessDeniedException: User with accountId: " + w.account + ` is not authorized to perform CreateLogGroup with Tags. An additional permission "logs:TagResource" is required.`},
		{"create with the right tag", create(tagger, "/made3", map[string]string{"team": "blue"}), "ok"},
		{"create with a wrong tag", create(tagger, "/made4", map[string]string{"team": "red"}), denied("tagger", "CreateLogGroup", w.arn("/made4:log-stream:"))},

		{"CreateLogGroup", create(nobody, "/app", nil), denied("nobody", "CreateLogGroup", app)},
		{"DeleteLogGroup", func() string {
			return check.Now(nobody.DeleteLogGroup, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: new("/app")})
		}, denied("nobody", "DeleteLogGroup", app)},
		{"DescribeLogGroups", func() string { return check.Now(nobody.DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{}) },
			denied("nobody", "DescribeLogGroups", w.arn(":log-stream:"))},
		{"ListLogGroups", func() string { return check.Now(nobody.ListLogGroups, &cloudwatchlogs.ListLogGroupsInput{}) },
			denied("nobody", "ListLogGroups", w.arn(":log-stream:"))},
		{"PutLogGroupDeletionProtection", func() string {
			return check.Now(nobody.PutLogGroupDeletionProtection, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: new("/app"), DeletionProtectionEnabled: new(true)})
		}, denied("nobody", "PutLogGroupDeletionProtection", app)},
		{"PutRetentionPolicy", func() string {
			return check.Now(nobody.PutRetentionPolicy, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: new("/app"), RetentionInDays: new(int32(1))})
		}, denied("nobody", "PutRetentionPolicy", app)},
		{"DeleteRetentionPolicy", func() string {
			return check.Now(nobody.DeleteRetentionPolicy, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: new("/app")})
		}, denied("nobody", "DeleteRetentionPolicy", app)},
		{"CreateLogStream", func() string {
			return check.Now(nobody.CreateLogStream, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: new("/app"), LogStreamName: new("s")})
		}, denied("nobody", "CreateLogStream", appStream)},
		{"DeleteLogStream", func() string {
			return check.Now(nobody.DeleteLogStream, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: new("/app"), LogStreamName: new("s")})
		}, denied("nobody", "DeleteLogStream", appStream)},
		{"DescribeLogStreams", func() string {
			return check.Now(nobody.DescribeLogStreams, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: new("/app")})
		}, denied("nobody", "DescribeLogStreams", app)},
		{"PutLogEvents", put(nobody, "/app"), denied("nobody", "PutLogEvents", appStream)},
		{"GetLogEvents", get(nobody, "/app"), denied("nobody", "GetLogEvents", appStream)},
		{"FilterLogEvents", func() string {
			return check.Now(nobody.FilterLogEvents, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("/app")})
		}, denied("nobody", "FilterLogEvents", app)},
		{"TagResource", func() string {
			return check.Now(nobody.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: new(w.arn("/app")), Tags: map[string]string{"a": "b"}})
		}, denied("nobody", "TagResource", w.arn("/app"))},
		{"UntagResource", func() string {
			return check.Now(nobody.UntagResource, &cloudwatchlogs.UntagResourceInput{ResourceArn: new(w.arn("/app")), TagKeys: []string{"a"}})
		}, denied("nobody", "UntagResource", w.arn("/app"))},
		{"ListTagsForResource", func() string {
			return check.Now(nobody.ListTagsForResource, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: new(w.arn("/app"))})
		}, denied("nobody", "ListTagsForResource", w.arn("/app"))},
		{"TagLogGroup", func() string {
			return check.Now(nobody.TagLogGroup, &cloudwatchlogs.TagLogGroupInput{LogGroupName: new("/app"), Tags: map[string]string{"a": "b"}})
		}, denied("nobody", "TagLogGroup", app)},
		{"UntagLogGroup", func() string {
			return check.Now(nobody.UntagLogGroup, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: new("/app"), Tags: []string{"a"}})
		}, denied("nobody", "UntagLogGroup", app)},
		{"ListTagsLogGroup", func() string {
			return check.Now(nobody.ListTagsLogGroup, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: new("/app")})
		}, denied("nobody", "ListTagsLogGroup", app)},
		{"another account", func() string {
			_, err := other.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupIdentifier: new(w.arn("/app"))})
			return strings.SplitAfter(check.Outcome(err), ":")[0]
		}, "AccessDeniedException:"},
	})
}

// TestAudit: no message of an event is in the audit log.
func TestAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g", "s")
	const secret = "hunter2-in-a-log"
	w.put(t, "g", "s", event(w.millis(0), secret))
	if got, _ := w.filter(t, cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("g")}); got != "s:"+secret {
		t.Fatalf("got %s", got)
	}
	w.get(t, cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s")})
	check.Now(w.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("none"), LogEvents: []types.InputLogEvent{event(w.millis(0), secret)}})
	w.Stop(t)
	files, err := filepath.Glob(filepath.Join(w.Dir.Audit(), "audit-*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no audit log: %v", err)
	}
	whole := ""
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		whole += string(b)
	}
	check.Equal(t, "PutLogEvents is recorded", strings.Count(whole, `"eventName":"PutLogEvents"`), 2)
	check.Equal(t, "its message is not", strings.Contains(whole, secret), false)
}
