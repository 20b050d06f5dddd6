package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"roost/session"
)

// A collector turns the plain counters of the other packages into metrics, at
// each scrape.
type collector struct {
	p       *process
	simple  []simpleMetric
	logins  *prometheus.Desc
	bytes   *prometheus.Desc
	command *prometheus.Desc
	latency *prometheus.Desc
}

// A simpleMetric is one number without labels.
type simpleMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func() float64
}

func newCollector(p *process) *collector {
	c := &collector{
		p:       p,
		logins:  prometheus.NewDesc("roost_logins_total", "Logins by result.", []string{"result"}, nil),
		bytes:   prometheus.NewDesc("roost_bytes_total", "Octets of IMAP, after TLS and compression were taken off.", []string{"direction"}, nil),
		command: prometheus.NewDesc("roost_commands_total", "Commands by name and result.", []string{"command", "result"}, nil),
		latency: prometheus.NewDesc("roost_command_seconds", "Time from the last octet of a command to its tagged response.", []string{"command"}, nil),
	}
	count := func(name, help string, v func() uint64) {
		c.simple = append(c.simple, simpleMetric{prometheus.NewDesc("roost_"+name, help, nil, nil), prometheus.CounterValue, func() float64 { return float64(v()) }})
	}
	gauge := func(name, help string, v func() float64) {
		c.simple = append(c.simple, simpleMetric{prometheus.NewDesc("roost_"+name, help, nil, nil), prometheus.GaugeValue, v})
	}
	s, m := p.sessions.Counters, p.counters
	count("connections_total", "Connections accepted.", s.Connections.Load)
	count("connections_refused_total", "Connections refused by a limit.", func() uint64 { return p.reg.snapshot().Refused })
	count("tls_handshakes_failed_total", "TLS handshakes that failed.", s.FailedHandshakes.Load)
	count("recovered_panics_total", "Bugs: sessions ended by a recovered panic.", s.Panics.Load)
	gauge("connections", "Connections now.", func() float64 { return float64(p.reg.snapshot().Connections) })
	gauge("connections_unauthenticated", "Connections now that have not logged in.", func() float64 { return float64(p.reg.snapshot().Unauthenticated) })
	gauge("connections_idling", "Connections now in IDLE.", func() float64 { return float64(s.Idling.Load()) })
	gauge("users", "Users with a connection now.", func() float64 { return float64(p.reg.snapshot().Users) })
	count("directory_scans_total", "Directories of mailboxes read as a whole.", m.Scans.Load)
	count("watch_events_total", "Events of the watched directories.", m.Events.Load)
	count("watch_fences_total", "Proofs that all events before a moment were seen.", m.Fences.Load)
	count("watch_overflows_total", "Times that events were lost and a scan made up for it.", m.Overflows.Load)
	count("messages_arrived_total", "Files that became messages.", m.Arrived.Load)
	count("flag_deltas_total", "Flags changed by other programs.", m.FlagDeltas.Load)
	count("messages_expunged_total", "Messages gone, by clients or other programs.", m.Expunged.Load)
	count("mailboxes_offline_total", "Times that a mailbox went offline because its files vanished.", m.Offline.Load)
	count("journal_sync_failures_total", "Failed syncs of a journal.", m.FailedSyncs.Load)
	count("cache_fills_total", "Messages parsed into the cache.", m.CacheFills.Load)
	p.watchMetrics(count, gauge)
	gauge("certificate_expiry_seconds", "When the certificate ends, as Unix time; 0 without TLS.", func() float64 {
		if certs := p.certs.Load(); certs != nil {
			return float64(certs.expires().Unix())
		}
		return 0
	})
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.simple {
		ch <- m.desc
	}
	ch <- c.logins
	ch <- c.bytes
	ch <- c.command
	ch <- c.latency
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.simple {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value())
	}
	s := c.p.sessions.Counters
	add := func(desc *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v), labels...)
	}
	add(c.logins, s.Logins.Load(), "ok")
	add(c.logins, s.FailedLogins.Load(), "failed")
	add(c.bytes, s.BytesIn.Load(), "in")
	add(c.bytes, s.BytesOut.Load(), "out")
	for name, cc := range s.Commands() {
		ok, no, bad := cc.OK.Load(), cc.NO.Load(), cc.BAD.Load()
		if ok+no+bad == 0 {
			continue
		}
		add(c.command, ok, name, "ok")
		add(c.command, no, name, "no")
		add(c.command, bad, name, "bad")
		ch <- c.histogram(name, cc)
	}
}

func (c *collector) histogram(name string, cc *session.CommandCount) prometheus.Metric {
	buckets := make(map[float64]uint64, len(session.LatencyBounds))
	var total uint64
	for i, bound := range session.LatencyBounds {
		total += cc.Latency[i].Load()
		buckets[bound.Seconds()] = total
	}
	total += cc.Latency[len(session.LatencyBounds)].Load()
	return prometheus.MustNewConstHistogram(c.latency, total, float64(cc.Nanoseconds.Load())/1e9, buckets, name)
}

// watchMetrics adds the state of the watches.
func (p *process) watchMetrics(count func(string, string, func() uint64), gauge func(string, string, func() float64)) {
	w := p.watcher
	gauge("watch_up", "1 if inotify is in use, 0 if mailboxes are polled.", func() float64 {
		if w == nil {
			return 0
		}
		return 1
	})
	if w == nil {
		return
	}
	gauge("watches", "Directories watched now.", func() float64 { return float64(w.Counters().Watches) })
	count("watch_queue_overflows_total", "Overflows of the system's event queue.", func() uint64 { return w.Counters().Overflows })
	count("watch_errors_total", "Errors of the system's event queue.", func() uint64 { return w.Counters().Errors })
	count("watches_lost_total", "Watches that ended by themselves.", func() uint64 { return w.Counters().Lost })
	count("watches_refused_total", "Watches that the system or a limit refused; those mailboxes are polled.", func() uint64 { return w.Counters().Refused })
}
