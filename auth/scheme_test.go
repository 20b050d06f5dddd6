package auth

import (
	"strings"
	"testing"
)

// Made by doveadm pw of Dovecot 2.3.19, openssl passwd 3.0 and crypt(3) of libxcrypt.
var vectors = []struct{ password, stored, cost string }{
	{"pässword 1", "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$P1HS3Hh1VbML/aj5g+Ci8w$i0KLuJ4PY4b+7EKlEIcTIg/SwSA+TzFrye8lF0zjC4M", "$argon2id$m=65536,t=3,p=1"},
	{"pässword 1", "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$nYsh21cfJjYtB4Jv9xJ7kw$FqfD5lLCgAXChbrif9cSg9m+qogeyq0RkSi0QVhNh7U", "$argon2i$m=32768,t=4,p=1"},
	{"pässword 1", "{BLF-CRYPT}$2y$05$VxEmOSb8F63w8HqS7JsUEeXlrZqLV55QcG4CJnawSg0MQARx8A9Cu", "$2y$05"},
	{"pässword 1", "{CRYPT}$2y$05$ROvr7w2jqXTQN1R2nm5ED.HXY0qi//ZSD9SnLEWVT.NeCVGo/y2qW", "$2y$05"},
	{"secret", "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "$2y$05"},
	{"pässword 1", "{SHA512-CRYPT}$6$aSovNq0RfIHvcU3v$o/h5cAXWVgVDMyRwjFBwIb6MqDFBei/bjqEzy9.UF2Z4sAijjEKdMprdRTOxGEesEwov1EGwGAtc.edQ4z/4i1", "$6$"},
	{"pässword 1", "{sha256-crypt}$5$F6I5G1vDSTo0OCrB$h6ApMPjfoU86NomP12LH8EoQKNbJ6F0pBeDOzX35y.8", "$5$"},
	{"secret", "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.", "$6$"},
	{"secret", "{CRYPT}$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.", "$5$"},
	{"secret", "$y$j9T$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe.", "$y$j9T"},
	{"pässword 1", "{PBKDF2}$1$ObL91jtJwquG0kqj$5000$6bc606d4b8f502605c65b73ae538aac7c1a96337", "{PBKDF2}5000"},
	{"pässword 1", "{SSHA}RsTwNkrvLawRj5zlXUca/ki5RelflPC5", "SSHA"},
	{"pässword 1", "{SSHA256}17Ar+CFT6zDL91veDSxL9UUeGIAz1GArhOeuK6+OsnJ1N+IF", "SSHA256"},
	{"pässword 1", "{SSHA512}yVmc7sfeJ2VJd5OvtxVsj7HLWdI2xKStiigog6mRl/3dJWKi/8huqwlCxt2XFL+6yuajpmNKc+CLAGugxS0vXtrqc3k=", "SSHA512"},
	{"pässword 1", "{SHA}wBFJYYjnh5eS5Eft5JORpd7Gkko=", "SHA"},
	{"pässword 1", "{SHA256}f7RERuWhObO3oHciFhtpNCnGhD0FNBL7CyE3AkK4vbA=", "SHA256"},
	{"pässword 1", "{SHA512}CKWQ1bFe+6HuV0fkV78KrhRH5bOjFVbkHBnd8vTWw2lc3YVFx8X2I6wtGQoVpZVuVsftC++RLO5GPIvd7H4Lyg==", "SHA512"},
	{"pässword 1", "{SHA256.HEX}7fb44446e5a139b3b7a07722161b693429c6843d053412fb0b21370242b8bdb0", "SHA256"},
	{"pässword 1", "{SHA256}7fb44446e5a139b3b7a07722161b693429c6843d053412fb0b21370242b8bdb0", "SHA256"},
	{"pässword 1", "{SCRAM-SHA-1}4096,d0sbimOMe6kH3fbSeDbRMg==,RYUiZ+pPWtaABE/XtdBiM/6kATM=,mu1ZL1g3BZ6/BGbJZZM2gsdfToE=", "SCRAM-SHA-1 4096"},
	{"pässword 1", "{SCRAM-SHA-256}4096,0XvVQtk0LyDTT39CuDXnGQ==,ATSAiyD742BDZW3bUs1FMNV1drZjZ0NE9XnpAkaYGUQ=,AeKh8u3hxMbejRYmPC20Y3/6pyNsynPx2b3a4jaybkE=", "SCRAM-SHA-256 4096"},
	{"pässword 1", "{PLAIN}pässword 1", "PLAIN"},
	{"!secret", "{CLEARTEXT}!secret", "PLAIN"},
}

func TestSchemes(t *testing.T) {
	for _, v := range vectors {
		d, locked, err := parsePassword(v.stored)
		if err != nil || locked {
			t.Errorf("%s: %v, locked %t", v.stored, err, locked)
			continue
		}
		if !d.match([]byte(v.password)) {
			t.Errorf("%s: the right password does not match", v.stored)
		}
		for _, wrong := range []string{"", "x", v.password + "x", v.password[:len(v.password)-1], strings.ToUpper(v.password)} {
			if d.match([]byte(wrong)) {
				t.Errorf("%s: %q matches", v.stored, wrong)
			}
		}
		if d.cost() != v.cost {
			t.Errorf("%s: cost %q, want %q", v.stored, d.cost(), v.cost)
		}
	}
}

func TestHash(t *testing.T) {
	stored, err := Hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	d, locked, err := parsePassword(stored)
	if err != nil || locked || !strings.HasPrefix(stored, "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%s: %v", stored, err)
	}
	if !d.match([]byte("correct horse")) || d.match([]byte("correct hors")) {
		t.Error("wrong match")
	}
	if d.cost() != defaultDecoy().cost() {
		t.Errorf("cost %q differs from that of the decoy %q", d.cost(), defaultDecoy().cost())
	}
	if again, _ := Hash("correct horse"); again == stored {
		t.Error("the same salt twice")
	}
	for _, bad := range []string{"", "a\x00b", strings.Repeat("x", maxPasswordSize+1)} {
		if _, err := Hash(bad); err == nil {
			t.Errorf("Hash(%.10q) is no error", bad)
		}
	}
}

func TestLockedPasswords(t *testing.T) {
	for _, s := range []string{"", "!", "*", "!!", "*LK*", "!$6$abcdefgh$x", "{CRYPT}!", "{CRYPT}*", "{SHA256}", "{PLAIN}", "{MD5-CRYPT}!"} {
		if d, locked, err := parsePassword(s); !locked || d != nil || err != nil {
			t.Errorf("%q: locked %t, %v", s, locked, err)
		}
	}
}

func TestRefusedHashes(t *testing.T) {
	for _, s := range []string{
		"{MD5-CRYPT}$1$RLTCi9aC$nuF.ikH5mlC0otNlZG.AV.", "$1$RLTCi9aC$nuF.ikH5mlC0otNlZG.AV.", "{DES}abcdefghijklm", "secret", "{", "{PLAIN", "{X}y",
		"{ARGON2ID}$2y$05$VxEmOSb8F63w8HqS7JsUEeXlrZqLV55QcG4CJnawSg0MQARx8A9Cu", "{PLAIN.HEX}61", "{SHA256.ROT13}x",
		// Costs that would take the machine.
		"$argon2id$v=19$m=4194304,t=3,p=1$P1HS3Hh1VbML/aj5g+Ci8w$i0KLuJ4PY4b+7EKlEIcTIg/SwSA+TzFrye8lF0zjC4M",
		"$argon2id$v=19$m=65536,t=4000000,p=1$P1HS3Hh1VbML/aj5g+Ci8w$i0KLuJ4PY4b+7EKlEIcTIg/SwSA+TzFrye8lF0zjC4M",
		"$argon2id$v=19$m=65536,t=0,p=1$P1HS3Hh1VbML/aj5g+Ci8w$i0KLuJ4PY4b+7EKlEIcTIg/SwSA+TzFrye8lF0zjC4M",
		"$argon2id$v=19$m=65536,t=3,p=0$P1HS3Hh1VbML/aj5g+Ci8w$i0KLuJ4PY4b+7EKlEIcTIg/SwSA+TzFrye8lF0zjC4M",
		"$2y$31$VxEmOSb8F63w8HqS7JsUEeXlrZqLV55QcG4CJnawSg0MQARx8A9Cu", "$2y$05$short", "$2y$xx$VxEmOSb8F63w8HqS7JsUEeXlrZqLV55QcG4CJnawSg0MQARx8A9Cu",
		"$6$rounds=999999999$abc$" + strings.Repeat("x", 86), "$6$rounds=1$abc$" + strings.Repeat("x", 86), "$6$abc$short", "$6$" + strings.Repeat("s", 17) + "$" + strings.Repeat("x", 86),
		"{PBKDF2}$1$salt$999999999$6bc606d4b8f502605c65b73ae538aac7c1a96337", "{PBKDF2}$1$salt$5000$6b", "{PBKDF2-SHA256}99999999999$YWJj$" + strings.Repeat("x", 43),
		"{SSHA}short", "{SHA256}%%%", "{SCRAM-SHA-256}1,a,b,c", "{SCRAM-SHA-256}4096,0XvVQtk0LyDTT39CuDXnGQ==,eA==,eA==", "$y$jzz$a$" + strings.Repeat("x", 43), "$scrypt$ln=60,r=8,p=1$YWJj$" + strings.Repeat("x", 43),
	} {
		d, locked, err := parsePassword(s)
		if err == nil || locked || d != nil {
			t.Errorf("%s: %v, locked %t, want an error", s, d, locked)
			continue
		}
		if i := strings.LastIndexAny(s, "$}"); len(s)-i > 12 && strings.Contains(err.Error(), s[i+1:]) {
			t.Errorf("%s: the error quotes the hash: %v", s, err)
		}
	}
}

func FuzzPassword(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.stored)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, locked, err := parsePassword(s)
		if (d != nil) != (err == nil && !locked) {
			t.Fatalf("digest %v, locked %t, %v", d, locked, err)
		}
		if d == nil {
			return
		}
		if _, sha := d.(shaDigest); sha {
			d.match([]byte("x"))
			return
		}
		// Only cheap ones are computed.
		for _, cheap := range []string{"PLAIN", "$2y$04", "$2a$04", "$argon2id$m=8,t=1,p=1"} {
			if d.cost() == cheap {
				d.match([]byte("x"))
			}
		}
	})
}
