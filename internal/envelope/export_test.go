package envelope

// SpendRun makes the run that s seals under have done all but left seals.
func SpendRun(s *Sealer, left uint64) {
	s.keys[len(s.keys)-1].runs.sealing.Load().seals.Store(sealsPerRun - left)
}

// CachedRuns counts the derived keys that s keeps for its newest key.
func CachedRuns(s *Sealer) (n int) {
	t := s.keys[len(s.keys)-1].runs.table.Load()
	if t == nil {
		return 0
	}
	for i := range t.sets {
		for j := range t.sets[i] {
			if t.sets[i][j].Load() != nil {
				n++
			}
		}
	}
	return n
}

// KeyBytes returns the live bytes of k, to see them zeroed.
func KeyBytes(k Key) []byte { return k.bytes() }

// ParseKeyFile and FormatKeyFile let the fuzzer skip the file system.
var (
	ParseKeyFile  = parseKeyFile
	FormatKeyFile = formatKeyFile
)

const KeyFileSize = keyFileSize
