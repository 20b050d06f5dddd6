package wire

// Limits bound what one command may cost, in octets where not said otherwise.
type Limits struct {
	Line     int   // all lines of a command together, without literals
	Literal  int64 // one literal that is kept in memory
	Literals int64 // all those of one command together
	Count    int   // number of literals of one command
	Depth    int   // nesting of parentheses
	Ranges   int   // ranges of one set
	Discard  int64 // what is read and dropped to find the end of a refused command
	// LiteralMinus refuses non-synchronizing literals over 4,096 octets
	// (RFC 7888 §5).
	LiteralMinus bool
}

// DefaultLimits are the defaults for a client that has logged in.
func DefaultLimits() Limits {
	return Limits{
		Line: 64 << 10, Literal: 128 << 10, Literals: 1 << 20, Count: 256,
		Depth: 32, Ranges: 10_000, Discard: 1 << 20,
	}
}

// PreAuthLimits are the defaults for a client that has not logged in.
func PreAuthLimits() Limits {
	return Limits{
		Line: 8 << 10, Literal: 1 << 10, Literals: 4 << 10, Count: 4,
		Depth: 1, Ranges: 0, Discard: 64 << 10,
	}
}
