package deflate

// zlibStreams are two packets each, by the flush and level that zlib was told.
var zlibStreams = map[string][2]string{
	"sync 0":    {"000800f7ff61204e4f4f500d0a000000ffff", "000800f7ff62204e4f4f500d0a000000ffff"},
	"sync 1":    {"4a54f0f3f70fe0e502000000ffff", "4a82d200000000ffff"},
	"sync 6":    {"4a54f0f3f70fe0e502000000ffff", "4a82d200000000ffff"},
	"sync 9":    {"4a54f0f3f70fe0e502000000ffff", "4a82d200000000ffff"},
	"partial 0": {"000800f7ff61204e4f4f500d0a02", "000800f7ff62204e4f4f500d0a02"},
	"partial 1": {"4a54f0f3f70fe0e50208", "a024280d10"},
	"partial 6": {"4a54f0f3f70fe0e50208", "a024280d10"},
	"partial 9": {"4a54f0f3f70fe0e50208", "a024280d10"},
	"full 0":    {"000800f7ff61204e4f4f500d0a000000ffff", "000800f7ff62204e4f4f500d0a000000ffff"},
	"full 1":    {"4a54f0f3f70fe0e502000000ffff", "4a52f0f3f70fe0e502000000ffff"},
	"full 6":    {"4a54f0f3f70fe0e502000000ffff", "4a52f0f3f70fe0e502000000ffff"},
	"full 9":    {"4a54f0f3f70fe0e502000000ffff", "4a52f0f3f70fe0e502000000ffff"},
	"block 0":   {"000800f7ff61204e4f4f500d0a", "000800f7ff62204e4f4f500d0a"},
	"block 1":   {"4a54f0f3f70fe0e502", "28094a03"},
	"block 6":   {"4a54f0f3f70fe0e502", "28094a03"},
	"block 9":   {"4a54f0f3f70fe0e502", "28094a03"},
}
