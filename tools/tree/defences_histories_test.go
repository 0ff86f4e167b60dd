package tree_test

// historiesDefences are taken out under clients that race, rather than in the order that a test prescribes.
var historiesDefences = []defence{
	{
		name: "histories: a fill that was overtaken is not put in",
		file: "apikey/cache.go",
		old: `	if l := sh.loads[id]; l != nil {
		l.overtaken = true`,
		new: `	if l := sh.loads[id]; l != nil {
		l.overtaken = false`,
		pkg: "./tools/histories",
		run: "^TestTheLifeOfAKeyIsLinearizable$/^memory$",
	},
	{
		name: "histories: a fill that was overtaken is not put in, on Badger",
		file: "apikey/cache.go",
		old: `	if l := sh.loads[id]; l != nil {
		l.overtaken = true`,
		new: `	if l := sh.loads[id]; l != nil {
		l.overtaken = false`,
		pkg: "./tools/histories",
		run: "^TestTheLifeOfAKeyIsLinearizable$/^badger$",
	},
	{
		name: "histories: a fill that was overtaken is not put in, on PostgreSQL",
		file: "apikey/cache.go",
		old: `	if l := sh.loads[id]; l != nil {
		l.overtaken = true`,
		new: `	if l := sh.loads[id]; l != nil {
		l.overtaken = false`,
		pkg: "./tools/histories",
		run: "^TestTheLifeOfAKeyIsLinearizable$/^postgres$",
	},
	{
		name: "histories: a fill that was overtaken is not put in, on two instances",
		file: "apikey/cache.go",
		old: `	if l := sh.loads[id]; l != nil {
		l.overtaken = true`,
		new: `	if l := sh.loads[id]; l != nil {
		l.overtaken = false`,
		pkg: "./tools/histories",
		run: "^TestTheLifeOfAKeyIsLinearizable$/^two_instances",
	},
	{
		name: "histories: who comes after a change does not join a load from before it",
		file: "apikey/cache.go",
		old:  `		delete(sh.loads, id) // who comes now must not join it`,
		new:  ``,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^memory$",
	},
	{
		name: "histories: one load of a key at a time",
		file: "apikey/cache.go",
		old:  `	if l = sh.loads[id]; l != nil {`,
		new:  `	if l = sh.loads[id]; l != nil && l.overtaken {`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^memory$",
	},
	{
		name: "histories: an unknown key is unknown until it is created",
		file: "apikey/cache.go",
		old:  `a.Load() != nil && a.Load().id == id {`,
		new:  `a.Load() != nil && a.Load().id != id {`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^memory$",
	},
	{
		name: "histories: an unknown key is unknown until it is created elsewhere",
		file: "apikey/cache.go",
		old:  `a.Load() != nil && a.Load().id == id {`,
		new:  `a.Load() != nil && a.Load().id != id {`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^two_instances",
	},
	{
		name: "histories: a change empties the snapshot",
		file: "apikey/cache.go",
		old:  `snap != nil && (n.Deleted || snap.key.Revision < n.Revision)`,
		new:  `snap != nil && n.Deleted`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^memory$",
	},
	{
		name: "histories: a change that finds its work done is in force, too",
		file: "apikey/mutate.go",
		old:  "			s.takeIn(&r)\n			return r.Key, s.settle(ctx, by, &r.Key)\n		} else",
		new:  "			return r.Key, nil\n		} else",
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^memory$",
	},
	{
		name: "histories: a change that finds its work done waits for the other instance",
		file: "apikey/mutate.go",
		old:  "			s.takeIn(&r)\n			return r.Key, s.settle(ctx, by, &r.Key)\n		} else",
		new:  "			s.takeIn(&r)\n			return r.Key, nil\n		} else",
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^two_instances",
	},
	{
		name: "histories: revoking while somebody else revokes is no error",
		file: "apikey/mutate.go",
		old:  ` && !errors.Is(err, ErrInvalidState):`,
		new:  `:`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^memory$",
	},
	{
		name: "histories: a change returns when the other instance has it",
		file: "apikey/mutate.go",
		old:  `	return s.lease.settle(ctx)`,
		new:  `	return nil`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^two_instances",
	},
	{
		name: "histories: acknowledgements are waited for",
		file: "apikey/follow.go",
		old:  `			if acked >= target {`,
		new:  `			if acked >= target || err == nil {`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^two_instances",
	},
	{
		name: "histories: what other instances changed is applied",
		file: "apikey/follow.go",
		old:  `		if l.s.changed(c.Notice) {`,
		new:  `		if c.ID == "" && l.s.changed(c.Notice) {`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^two_instances",
	},
	{
		name: "histories: of two changes at once one has to look again",
		file: "storage/change.go",
		old:  `	case c.Expect != current.Key.Revision:`,
		new:  `	case c.Expect > current.Key.Revision:`,
		pkg:  "./tools/histories",
		run:  "^TestTheLifeOfAKeyIsLinearizable$/^memory$",
	},
}
