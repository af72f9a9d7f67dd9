package awsjson

import (
	"encoding/base64"
	"strconv"
	"time"

	"coffer/internal/api"
	"coffer/internal/fault"
)

// Append appends v as a JSON object: present members in the order of the
// model, map entries by key, times as seconds with up to three decimals. Members
// that REST has outside the body are left out.
func Append(dst []byte, v api.Struct) []byte {
	dst = append(dst, '{')
	open := len(dst)
	members := v.Shape().Members
	for i := range members {
		f := v.Field(i)
		if members[i].Location != "" || api.Absent(f) {
			continue
		}
		if len(dst) > open {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, members[i].Name...)
		dst = append(dst, '"', ':')
		dst = appendValue(dst, members[i].Shape, f)
	}
	return append(dst, '}')
}

func appendValue(dst []byte, sh *api.Shape, f any) []byte {
	switch p := f.(type) {
	case **string:
		return api.AppendJSONString(dst, **p)
	case *string:
		return api.AppendJSONString(dst, *p)
	case *api.Sensitive:
		if sh.Kind == api.Blob {
			return appendBlob(dst, *p)
		}
		return api.AppendJSONString(dst, []byte(*p))
	case *[]byte:
		return appendBlob(dst, *p)
	case **bool:
		return strconv.AppendBool(dst, **p)
	case *bool:
		return strconv.AppendBool(dst, *p)
	case **int64:
		return strconv.AppendInt(dst, **p, 10)
	case *int64:
		return strconv.AppendInt(dst, *p, 10)
	case **float64:
		return api.AppendJSONFloat(dst, **p)
	case *float64:
		return api.AppendJSONFloat(dst, *p)
	case **time.Time:
		return appendTime(dst, **p)
	case *time.Time:
		return appendTime(dst, *p)
	case *[]string:
		dst = append(dst, '[')
		for i, s := range *p {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = api.AppendJSONString(dst, s)
		}
		return append(dst, ']')
	case *map[string]string:
		return appendEntries(dst, sh, (*api.MapOf[string])(p))
	case api.ListField:
		dst = append(dst, '[')
		for i := range p.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, sh.Elem, p.At(i))
		}
		return append(dst, ']')
	case api.MapField:
		return appendEntries(dst, sh, p)
	case api.StructField:
		return Append(dst, p.Get())
	case api.Struct:
		return Append(dst, p)
	}
	panic("awsjson: unknown form of " + sh.Name)
}

func appendEntries(dst []byte, sh *api.Shape, m api.MapField) []byte {
	dst = append(dst, '{')
	for i, k := range m.Keys() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = api.AppendJSONString(dst, k)
		dst = append(dst, ':')
		dst = appendValue(dst, sh.Value, m.At(k))
	}
	return append(dst, '}')
}

func appendBlob(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

func appendTime(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		dst = append(dst, '-')
		ms = -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	if ms %= 1000; ms == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// AppendError appends the body of an error. svc is nil when the request named
// no service. The key of the text is the modelled error's own; the framework's
// errors have "message" in every service. An empty text is left out, as in
// KMS's InvalidCiphertextException. The cause of e is not sent.
func AppendError(dst []byte, svc *api.Service, e *fault.Error) []byte {
	dst = append(dst, `{"__type":`...)
	dst = api.AppendJSONString(dst, e.Code)
	if e.Message != "" {
		key := "message"
		if svc != nil {
			if m := svc.Error(e.Code); m != nil {
				key = m.MessageKey
			}
		}
		dst = append(dst, `,"`...)
		dst = append(dst, key...)
		dst = append(dst, `":`...)
		dst = api.AppendJSONString(dst, e.Message)
	}
	return append(dst, '}')
}

// Status returns the HTTP status of e; svc may be nil.
func Status(svc *api.Service, e *fault.Error) int { return svc.Status(e) }
