package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A field is one key of a table: where its value goes and what is accepted.
type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

// fieldsOf lists the keys of the table that v, a struct, stands for. Embedded
// structs belong to the table itself.
func fieldsOf(v reflect.Value) map[string]field {
	out := map[string]field{}
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if sf.Anonymous {
			for name, f := range fieldsOf(v.Field(i)) {
				out[name] = f
			}
			continue
		}
		out[sf.Tag.Get("toml")] = field{v.Field(i), sf.Tag}
	}
	return out
}

// Keys returns the dotted names of all keys of a configuration, sorted. Tables of
// free names, such as mail.special_use, are one key.
func Keys() []string { return slices.Clone(allKeys()) }

var allKeys = sync.OnceValue(func() []string { return keysOf(reflect.ValueOf(Default()).Elem(), "") })

func keysOf(v reflect.Value, prefix string) []string {
	var out []string
	for name, f := range fieldsOf(v) {
		if f.value.Kind() == reflect.Struct {
			out = append(out, keysOf(f.value, join(prefix, name))...)
		} else {
			out = append(out, join(prefix, name))
		}
	}
	slices.Sort(out)
	return out
}

// whereIs returns the dotted name of the one key called name in any table, "" if
// there is none or more than one.
func whereIs(name string) string {
	found := ""
	for _, key := range allKeys() {
		if key == name || strings.HasSuffix(key, "."+name) {
			if found != "" {
				return ""
			}
			found = key
		}
	}
	return found
}

// set stores value, as TOML has it, in f, or adds a problem.
func (p *parser) set(key string, value any, f field) {
	switch f.value.Interface().(type) {
	case string:
		if s, ok := value.(string); ok {
			p.setString(key, s, f)
			return
		}
		p.errorf(key, `write it in double quotes`, "it must be a string")
	case bool:
		if b, ok := value.(bool); ok {
			f.value.SetBool(b)
			return
		}
		p.errorf(key, "write true or false, without quotes", "it must be true or false")
	case int:
		if n, ok := value.(int64); ok {
			p.setNumber(key, n, f, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) },
				func(n int64) string { return strconv.FormatInt(n, 10) })
			return
		}
		p.errorf(key, "write it without quotes", "it must be a whole number")
	case Size:
		p.setQuantity(key, value, f, `write a number and a unit in quotes, such as "64KiB"`,
			func(s string) (int64, error) { n, err := ParseSize(s); return int64(n), err },
			func(n int64) string { return strconv.Quote(Size(n).String()) })
	case Duration:
		if _, bare := value.(int64); bare {
			p.errorf(key, fmt.Sprintf(`write the unit in quotes, such as "%ds"`, value), "the unit is missing")
			return
		}
		p.setQuantity(key, value, f, `write a number and a unit in quotes, such as "30s" or "31m"`,
			func(s string) (int64, error) { d, err := ParseDuration(s); return int64(d), err },
			func(n int64) string { return strconv.Quote(Duration(n).String()) })
	case []string:
		if list, ok := p.stringList(key, value); ok {
			f.value.Set(reflect.ValueOf(list))
		}
	case []netip.Prefix:
		if list, ok := p.stringList(key, value); ok {
			f.value.Set(reflect.ValueOf(p.prefixes(key, list)))
		}
	case map[string]string:
		p.setStringMap(key, value, f)
	}
}

func (p *parser) setString(key, s string, f field) {
	oneof := f.tag.Get("oneof")
	if oneof == "" {
		f.value.SetString(s)
		return
	}
	allowed := strings.Fields(oneof)
	if slices.Contains(allowed, s) {
		f.value.SetString(s)
		return
	}
	remedy := fmt.Sprintf(`use one of "%s"`, strings.Join(allowed, `", "`))
	if near := nearest(s, allowed); near != "" {
		remedy = fmt.Sprintf("did you mean %q? The values are \"%s\"", near, strings.Join(allowed, `", "`))
	}
	p.errorf(key, remedy, "%q is not possible here", s)
}

func (p *parser) setQuantity(key string, value any, f field, remedy string, parse func(string) (int64, error), format func(int64) string) {
	switch v := value.(type) {
	case int64:
		p.setNumber(key, v, f, parse, format)
	case string:
		n, err := parse(v)
		if err != nil {
			_, text, _ := strings.Cut(err.Error(), ": parse ")
			p.errorf(key, remedy, "cannot read %s", text)
			return
		}
		p.setNumber(key, n, f, parse, format)
	default:
		p.errorf(key, remedy, "it must be a number with a unit")
	}
}

// setNumber stores n if it is in the range of the tags min and max.
func (p *parser) setNumber(key string, n int64, f field, parse func(string) (int64, error), format func(int64) string) {
	lo, errLo := parse(f.tag.Get("min"))
	hi, errHi := parse(f.tag.Get("max"))
	if errLo != nil || errHi != nil || n < lo || n > hi || f.value.OverflowInt(n) {
		p.errorf(key, fmt.Sprintf("use a value from %s to %s", format(lo), format(hi)), "%s is out of range", format(n))
		return
	}
	f.value.SetInt(n)
}

func (p *parser) stringList(key string, value any) ([]string, bool) {
	list, ok := value.([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		s, isString := v.(string)
		ok = ok && isString
		out = append(out, s)
	}
	if !ok {
		p.errorf(key, `write it as ["one", "two"]`, "it must be a list of strings")
		return nil, false
	}
	return out, true
}

func (p *parser) prefixes(key string, list []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		prefix, err := parsePrefix(s)
		if err != nil {
			p.errorf(key, `write addresses such as "::1" or networks such as "10.0.0.0/8"`, "%q is neither an address nor a network", s)
			continue
		}
		out = append(out, prefix)
	}
	return out
}

// parsePrefix reads a network, or an address as the network of only that.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("config: parse network: %w", err)
	}
	return prefix.Masked(), nil
}

func (p *parser) setStringMap(key string, value any, f field) {
	table, ok := value.(map[string]any)
	out := make(map[string]string, len(table))
	for name, v := range table {
		s, isString := v.(string)
		ok = ok && isString
		out[name] = s
	}
	if !ok {
		p.errorf(key, fmt.Sprintf(`write a line [%s] and below it lines such as "Name" = "value"`, key), "it must be a table of strings")
		return
	}
	f.value.Set(reflect.ValueOf(out))
}
