package session

import (
	"context"

	"roost/deflate"
	"roost/wire"
)

// compressCmd is COMPRESS (RFC 4978).
type compressCmd struct{ algorithm string }

// parseCompress reads
//
//	compress  = "COMPRESS" SP algorithm
//	algorithm = "DEFLATE"
func parseCompress(sc *wire.Scanner) (runner, error) {
	var c compressCmd
	sc.SP()
	c.algorithm = sc.Word()
	return &c, sc.End()
}

// run puts the layer between the transport and the connection, or TLS: limits
// count what was decompressed. Octets behind the command came without
// compression, and the client had to wait (RFC 4978 §3): they cannot be told
// from compressed ones.
func (c *compressCmd) run(_ context.Context, s *Session) error {
	switch {
	case s.deflate != nil:
		return &response{"BAD", "COMPRESSIONACTIVE", "DEFLATE is active already"}
	case c.algorithm != "DEFLATE" || !s.offers("COMPRESS=DEFLATE"):
		return bad("unknown compression mechanism")
	case s.in.Buffered() > 0:
		return bye("", "commands behind COMPRESS")
	}
	s.w.Status(s.cmd.tag, "OK", "", "DEFLATE active")
	if err := s.w.Flush(); err != nil {
		return err
	}
	s.deflate = deflate.NewConn(s.t.conn)
	s.t.replace(s.deflate)
	return errAnswered
}
