// Package api is the contract between the gateway, the services and the wire
// codecs: what an operation is, what a request carries, and how the structures
// of AWS's models are described and walked.
//
// The packages below it (api/secretsmanager, api/kms, ...) are generated from
// the models in /models and the list in services.txt:
//
//	go generate ./internal/api
//
// # Structures
//
// A generated structure has one exported field per member, in these Go types:
//
//	string, also enumerations   *string       nil: absent
//	boolean                     *bool
//	integer, long               *int64
//	float, double               *float64
//	timestamp                   *time.Time
//	blob                        []byte        nil: absent; empty: present
//	sensitive string or blob    Sensitive     nil: absent; empty: present
//	list                        []T           nil: absent; empty: present
//	map                         map[string]T  nil: absent; empty: present
//	structure                   *T            nil: absent
//
// Elements of lists and values of maps are plain: string, bool, int64,
// float64, time.Time, []byte, Sensitive or a structure. A list in a list is a
// []string or a ListOf[T], a map in a list or map a map[string]string or MapOf[T].
//
// [Struct.Field] gives each member in one of these forms, so that a walk is a
// type switch over them, without reflection:
//
//	**string **bool **int64 **float64 **time.Time
//	*[]byte *Sensitive *[]string *map[string]string
//	ListField   any other list
//	MapField    any other map
//	StructField a structure
//
// An element of a list or a value of a map (ListField.At, MapField.At) comes as
//
//	*string *bool *int64 *float64 *time.Time
//	*[]byte *Sensitive *[]string *map[string]string
//	ListField, MapField
//	Struct      a structure
//
// # What it does not promise
//
// Shapes describe what the model says and no more: rules that AWS enforces
// beyond the model (name syntax, byte quotas, members that exclude each other)
// are the service's.
package api

//go:generate go run ./gen -root ../..
