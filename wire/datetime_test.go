package wire

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestDateTimeFormat compares the hand-written form with that of package time.
func TestDateTimeFormat(t *testing.T) {
	const layout = `"_2-Jan-2006 15:04:05 -0700"`
	check := func(d time.Time) {
		t.Helper()
		if got, want := string(appendDateTime(nil, d)), d.Format(layout); got != want {
			t.Fatalf("%v: %s, want %s", d, got, want)
		}
	}
	zones := []*time.Location{time.UTC}
	for _, minutes := range []int{-14 * 60, -719, -210, -1, 1, 59, 60, 330, 345, 14 * 60, 1439, -1439} {
		zones = append(zones, time.FixedZone("", minutes*60))
	}
	for _, day := range []time.Time{
		time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(4, 2, 29, 23, 59, 59, 0, time.UTC),
		time.Date(1600, 2, 29, 0, 0, 0, 0, time.UTC), time.Date(1900, 2, 28, 23, 59, 59, 0, time.UTC),
		time.Date(1900, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Unix(0, 0), time.Unix(-1, 999), time.Date(2000, 2, 29, 12, 0, 0, 0, time.UTC),
		time.Date(2000, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(9999, 12, 30, 23, 59, 59, 0, time.UTC),
	} {
		for _, z := range zones {
			check(day.In(z))
		}
	}
	for d := time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2110; d = d.AddDate(0, 0, 1) {
		check(d) // every day
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50000 {
		sec := rng.Int64N(9998*31556952) + time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC).Unix()
		check(time.Unix(sec, 0).In(zones[rng.IntN(len(zones))]))
	}
}

func BenchmarkDateTime(b *testing.B) {
	d := time.Date(2024, 2, 9, 3, 4, 5, 0, time.FixedZone("", 7200))
	var buf []byte
	b.Run("wire", func(b *testing.B) {
		for range b.N {
			buf = appendDateTime(buf[:0], d)
		}
	})
	b.Run("time", func(b *testing.B) {
		for range b.N {
			buf = d.AppendFormat(buf[:0], `"_2-Jan-2006 15:04:05 -0700"`)
		}
	})
}
