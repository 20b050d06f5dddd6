package message

import "errors"

// Limits on what is believed of one message; what lies beyond them is served,
// but not understood.
const (
	// MaxDepth is how deep parts may nest; a multipart or message at this
	// depth is reported as an application/octet-stream leaf.
	MaxDepth = 100
	// MaxParts counts all parts with the message itself and the messages
	// inside message/rfc822 parts; the last one takes the rest of the file.
	MaxParts = 10000
	// MaxAddresses is how many addresses are read of one kind of header field.
	MaxAddresses = 10000
	// MaxMessageIDs is how many ids are read of one References field.
	MaxMessageIDs = 1000

	maxHeader     = 1 << 20 // stored octets of one header block that are parsed
	maxFieldName  = 1000
	maxParams     = 128
	maxBoundary   = 200
	maxKept       = 8 << 20 // octets of strings and envelopes kept per message
	maxInMemory   = 1 << 20
	chunkSize     = 128 << 10
	minWindow     = 4 << 10
	maxCacheParts = 2*MaxParts + 2 // with the empty parts of part-less multiparts
)

var (
	// ErrUnknownCTE is returned by Binary when the part names a
	// Content-Transfer-Encoding that is not known; the client is told
	// NO [UNKNOWN-CTE] (RFC 3516 §4.3).
	ErrUnknownCTE = errors.New("message: unknown content transfer encoding")
	// ErrFormat is returned by ParseBinary for bytes that AppendBinary did not write.
	ErrFormat = errors.New("message: malformed binary form")
	// ErrVersion is returned by ParseBinary for another version of the form.
	ErrVersion = errors.New("message: unknown version of the binary form")
	// ErrChanged is returned while a body is written if the file is shorter
	// than it was, or its line ends are others: the octets promised cannot be sent.
	ErrChanged = errors.New("message: file changed while it was read")
)
