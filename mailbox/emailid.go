package mailbox

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"

	"roost/message"
)

// This file is EMAILID (RFC 8474 §5.1): a digest of the octets as they are
// served, so that the same message has the same one in every mailbox, however
// it came there. It stands in the cache, behind the rest of the record.

const (
	// emailIDSize is the part of the SHA-256 that is kept.
	emailIDSize = 20
	// emailIDAtOnce is up to which size a file is read whole in the background,
	// when it has just arrived; of others the digest is made when someone asks.
	emailIDAtOnce = 256 << 10
)

// EmailID is EMAILID. The first call for a message reads all of it, unless that
// was done when it arrived.
func (c *Content) EmailID() (string, error) {
	if err := c.load(); err != nil {
		return "", err
	}
	if len(c.rec.emailID) == 0 {
		if err := c.makeEmailID(); err != nil {
			return "", err
		}
	}
	return "M" + strings.ToLower(base32.StdEncoding.EncodeToString(c.rec.emailID)), nil
}

// makeEmailID reads the message.
func (c *Content) makeEmailID() error {
	if err := c.open(); err != nil {
		return err
	}
	id, err := c.digest(c.rec.served)
	if err != nil {
		return err
	}
	c.rec.buf = append(c.rec.buf, id...)
	c.rec.decode(c.rec.buf)
	if !c.ix.Gone(c.row) {
		c.rec.put(c.ix, c.row, c.info)
	}
	return nil
}

// digest is that of the open file, which is served as so many octets.
func (c *Content) digest(served int64) ([]byte, error) {
	body := message.WholeBody(c.file, c.info.Size, served)
	h := sha256.New()
	if _, err := body.WriteTo(h); err != nil {
		return nil, fmt.Errorf("mailbox: read message: %w", diskErr(err))
	}
	return h.Sum(nil)[:emailIDSize], nil
}
