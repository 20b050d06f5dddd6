// Package deflate is a DEFLATE layer (RFC 1951) over a connection on which both
// sides talk in turn, as COMPRESS has it (RFC 4978). It must not know IMAP.
//
// What makes it one of its own: an octet is given to the reader as soon as the
// bits of it are there, whatever kind of flush the other side uses or forgets
// to use; a read that failed (a deadline) can be repeated; a layer can be taken
// off at a flush, with what came behind it; and between two packets a
// connection keeps the window that the format asks for and nothing else.
package deflate
