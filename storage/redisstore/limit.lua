-- One request against the limits of its subjects, in one step. wire.go has the forms of the question (ARGV[1]) and of
-- the answer.
--
-- A subject's state is one string of records, packed big-endian: 6 id of the limit, 7 when all that it counts has left
-- (dead, in us since 1970), 7 what it counts, 1 form, 2 length of the rest. The rest is for windows, in forms 1 to 12:
-- cells, oldest first, of a number (1 byte for segments, 4 or 6 for instants, of which the rest follows from the
-- newest) and a cost (1, 2, 4 or 7 bytes); for a quota, in form 13: nothing; for requests in progress, in form 14: 8 name
-- and 6 until when it counts, in ms.
--
-- A window counts in cells: what was charged in one unit of time s, which is a microsecond where instants are kept and
-- a segment otherwise. Cell c counts until cell c + K begins, so the newest is dead / s - K.
--
-- Lua's numbers are exact up to 2^53: nothing here gets there.
local read, write, sub, byte, call = struct.unpack, struct.pack, string.sub, string.byte, redis.call
local NEVER, UNKNOWN, EARLIER, FOREVER, MOST = 9e15, 8e15, 7e15, 9e15, 4e15
local HEAD, LIMIT = '>I6I7I7I1I2', '>I6I1I7i7I7I7'
local CELLS = '>I1I1>I1I2>I1I4>I1I7>I4I1>I4I2>I4I4>I4I7>I6I1>I6I2>I6I4>I6I7' -- by form
local ask, keys = ARGV[1], #KEYS
local op, echo, at, subjects, sp = read('>I1I6I7I1', ask)
local t = call('TIME')
local now = t[1] * 1000000 + t[2]
local raws = keys == 1 and { call('GET', KEYS[1]) } or call('MGET', unpack(KEYS))
local once = keys > subjects and raws[keys]
local taking, settling = op == 1 and not once, op == 2
local when, wait, doubt, answer, states, lives, shadows = now, 0, false, '', { false }, { 0 }, nil

-- The opposites of each other, for the rare cases: cells of a record as a table of numbers and costs, and back, in a
-- form of the same kind in which the cost MOST fits. They have no upvalues, which each call would have to make.
local function decode(CELLS, src, p, stop, form, newest)
  local base = form > 8 and 281474976710656 or form > 4 and 4294967296 or 256
  local read, fmt, cells, v, x = struct.unpack, string.sub(CELLS, form * 5 - 4, form * 5), {}, nil, nil
  while p < stop do
    v, x, p = read(fmt, src, p)
    cells[#cells + 1] = { newest - (newest - v) % base, x }
  end
  return cells
end
local function encode(CELLS, cells, form, most)
  form = form - (form - 1) % 4 + (most < 256 and 0 or most < 65536 and 1 or most < 4294967296 and 2 or 3)
  local base = form > 8 and 281474976710656 or form > 4 and 4294967296 or 256
  local write, fmt, out = struct.pack, string.sub(CELLS, form * 5 - 4, form * 5), {}
  for i = 1, #cells do out[i] = write(fmt, cells[i][1] % base, cells[i][2]) end
  out = table.concat(out)
  return out, 1, #out + 1, form, fmt
end

for j = 1, subjects do
  local raw = raws[j] or ''
  local size, pos, taken = #raw, 1, nil
  local parts, n, life, dirty = { '', '', '', '', '', '' }, 0, 0, false
  local count = byte(ask, sp)
  sp = sp + 1
  for _ = 1, count do
    local name, kind, N, cost, s, K
    name, kind, N, cost, s, K, sp = read(LIMIT, ask, sp)
    local idle, shadow = kind >= 32, kind % 32 >= 16
    kind = kind % 16

    -- Its record is where it was the last time, or it is looked for.
    local start, src, rid, dead, sum, form, stop, p = pos, raw, nil, 0, 0, 0, 0, 0
    while start <= size do
      rid, dead, sum, form, stop, p = read(HEAD, raw, start)
      stop = stop + p
      if stop > size + 1 then return redis.error_reply('LATCHKEY a key has something else than the state of limits') end
      if rid == name then break end
      start, dead = stop, 0
    end
    if start <= size then
      if start == pos then
        pos = stop
      else
        taken = taken or {}
        taken[start] = true
      end
    end
    local from, to, until_ = start, stop - 1, dead
    if dead <= now then sum, p, stop, to = 0, 1, 1, start - 1 end
    local violated, far, reset = false, 0, 0
    local head, cell = nil, '' -- what replaces its record, if anything does

    if kind <= 3 then -- a window
      local c, fmt = (now - now % s) / s, '>I4I1'
      local newest, base = c, 4294967296
      if dead <= now then
        form = kind * 4 - (N < 256 and 3 or N < 65536 and 2 or 1)
      elseif form > kind * 4 - 4 and form <= kind * 4 then
        newest = dead / s - K
      else -- its N has crossed 128 since: S and L are s and K for the way in which it is counted
        local k = kind == 1 and K - 1 or K <= 3600000000 and 60 or 144
        local S, L = 1, s * k - s * k % 1000000
        if kind > 1 then S, L = (K + -K % k) / k, k + 1 end
        newest = dead / S - L
        if settling then
          s, K, c = S, L, (now - now % S) / S
        else -- what was counted is dated at the latest time that there is
          local cells, moved = decode(CELLS, raw, p, stop, form, newest), {}
          sum, newest = 0, c
          for i = 1, #cells do
            local v, x = cells[i][1], cells[i][2]
            if kind == 1 then
              v = (v - v % s) / s
            else
              local first, last = v * S, (v + 1) * S - 1
              v = last <= now and last or first > now and first or now
            end
            if v + K > c then
              sum, newest = sum + x, v
              if #moved > 0 and moved[#moved][1] == v then
                moved[#moved][2] = moved[#moved][2] + x
              else
                moved[#moved + 1] = { v, x }
              end
            end
          end
          dead = (newest + K) * s
          src, p, stop, form = encode(CELLS, moved, kind * 4, sum > N and sum or N)
          if kind > 1 and op == 1 then -- at once, so that it is not dated later another time
            raw = sub(raw, 1, from - 1) .. write(HEAD, name, dead, sum, form, #src) .. src .. sub(raw, to + 1)
            local longer, others = #raw - size, taken
            if pos > from then pos = pos + longer end
            taken = others and {}
            for at in pairs(others or {}) do taken[at > from and at + longer or at] = true end
            size, p = #raw, from + 23
            stop, src = p + #src, raw
            to, until_ = stop - 1, dead
            call('SET', KEYS[j], raw, 'KEEPTTL')
          end
        end
      end
      if form ~= 5 then
        base = form > 8 and 281474976710656 or form > 4 and 4294967296 or 256
        fmt = sub(CELLS, form * 5 - 4, form * 5)
      end
      if c < newest then -- the clock was set back
        c = newest
        if c * s > when then when = c * s end
      end
      local oldest = c
      while p < stop do
        local v, x, q = read(fmt, src, p)
        v = newest - (newest - v) % base
        if v + K > c then
          oldest = v
          break
        end
        sum, p = sum - x, q
      end
      if settling then
        local v = (at - at % s) / s
        if cost ~= 0 and v + K > c then -- the difference counts where the charge does
          local wide, q, u, x = byte(fmt, 3) + byte(fmt, 5) - 96, stop, nil, 0
          while q > p do
            q = q - wide
            u, x = read(fmt, src, q)
            u = newest - (newest - u) % base
            if u <= v then break end
          end
          local here, most = u == v, form % 4 == 1 and 255 or form % 4 == 2 and 65535 or form % 4 == 3 and 4294967295 or MOST
          if here and x + cost > 0 and sum + cost <= most then -- in its place
            sum, cell = sum + cost, write(fmt, v % base, x + cost)
            head = write(HEAD, name, dead, sum, form, stop - p)
            if q + wide < stop then
              src, cell = sub(src, p, q - 1) .. cell .. sub(src, q + wide, stop - 1), ''
              p, stop = 1, #src + 1
            else
              stop = q
            end
          else
            local cells = decode(CELLS, src, p, stop, form, newest)
            local i = #cells
            while i > 0 and cells[i][1] > v do i = i - 1 end
            if cost < 0 then
              cost = here and (-cost > x and -x or cost) or 0
            elseif sum + cost > MOST then
              cost = MOST - sum
            end
            if here then
              cells[i][2] = x + cost
              if cells[i][2] == 0 then table.remove(cells, i) end
            elseif cost > 0 and i < #cells and #cells > 1000 then -- counted longer, so that there is a bound
              cells[i + 1][2] = cells[i + 1][2] + cost
            elseif cost > 0 then
              table.insert(cells, i + 1, { v, cost })
              if v > newest then newest = v end
            end
            if cost ~= 0 then
              sum, dead, oldest = sum + cost, (newest + K) * s, cells[1] and cells[1][1] or c
              src, p, stop, form = encode(CELLS, cells, form, sum > N and sum or N)
              head = sum > 0 and write(HEAD, name, dead, sum, form, stop - p) or ''
            end
          end
        end
      elseif not idle then
        local need = cost > 0 and cost or 1
        local over = sum + need - N
        if over > 0 then
          violated = true
          if need > N then
            far = NEVER
          else
            local q, v, x = p, 0, 0
            while over > 0 do
              v, x, q = read(fmt, src, q)
              over = over - x
            end
            far = (newest - (newest - v) % base + K) * s - now
          end
        elseif taking and wait == 0 and cost > 0 then
          local all, mark = sum + cost, c % base
          if all > 255 and all > (form % 4 == 1 and 255 or form % 4 == 2 and 65535 or form % 4 == 3 and 4294967295 or all) then
            src, p, stop, form, fmt = encode(CELLS, decode(CELLS, src, p, stop, form, newest), form, all)
          end
          local last = c == newest and p < stop and stop - byte(fmt, 3) - byte(fmt, 5) + 96
          local v, x = -1, 0
          if last then v, x = read(fmt, src, last) end
          if v == mark then
            cell, stop = write(fmt, v, x + cost), last
          else
            cell = write(fmt, mark, cost)
          end
          dead = (c + K) * s
          head = write(HEAD, name, dead, all, form, stop - p + #cell)
        end
      end
      reset = (oldest + K) * s - now

    elseif kind == 4 then -- a quota, of a period that ends when it is dead
      if settling then
        if dead <= now and cost > 0 and s > now then dead = s end
        if dead > now and dead == s and cost ~= 0 then
          cost = -cost > sum and -sum or sum + cost > MOST and MOST - sum or cost
          sum = sum + cost
          head = sum > 0 and write(HEAD, name, dead, sum, 13, 0) or ''
        end
      else
        local own, next
        own, next, sp = read('>I7I7', ask, sp)
        if dead <= now and not idle then
          dead = now < s and 0 or now < K and K or now < own and own or now < next and next or 0
          if dead == 0 then return redis.error_reply('LATCHKEY the clocks of server and client differ by more than a period') end
        end
        local need = cost > 0 and cost or 1
        if idle then
        elseif sum + need > N then
          violated = true
          far = (need > N or dead == FOREVER) and NEVER or dead - now
        elseif taking and wait == 0 and cost > 0 then
          head = write(HEAD, name, dead, sum + cost, 13, 0)
        end
      end
      p, stop = 1, 1
      reset = dead > now and dead < FOREVER and dead - now or 0

    else -- requests in progress: for each, its name and until when it counts, in ms
      local ids = sub(ask, sp, sp + 8 * s - 1)
      sp = sp + 8 * s
      local ms = (now - now % 1000) / 1000
      while p < stop and read('>I6', raw, p + 8) <= ms do p = p + 14 end
      sum = (stop - p) / 14
      local ends = write('>I6', ms + K)
      if dead < (ms + K) * 1000 then dead = (ms + K) * 1000 end
      if op >= 2 and #ids > 0 then
        local mine, kept = {}, {}
        for i = 1, #ids, 8 do mine[sub(ids, i, i + 7)] = true end
        for q = p, stop - 1, 14 do
          if not mine[sub(raw, q, q + 7)] then kept[#kept + 1] = sub(raw, q, q + 13) end
        end
        if op == 3 then
          for i = 1, #ids, 8 do kept[#kept + 1] = sub(ids, i, i + 7) .. ends end
        end
        src, sum = table.concat(kept), #kept
        p, stop = 1, #src + 1
        head = sum > 0 and write(HEAD, name, dead, sum, 14, #src) or ''
      elseif op < 2 and sum + 1 > N then
        violated, far = true, UNKNOWN
      elseif taking and wait == 0 then
        cell = ids .. ends
        head = write(HEAD, name, dead, sum + 1, 14, stop - p + 14)
      end
    end

    answer = answer .. write('>I7I7', sum, violated and reset + 4503599627370496 or reset)
    if violated then
      if shadow then
        doubt = true
      elseif far > wait then
        wait = far
      end
    end
    if head then
      if shadow then
        shadows = shadows or {}
        shadows[#shadows + 1] = { parts, n, sub(raw, from, to) }
      end
      dirty, parts[n + 1], parts[n + 2], parts[n + 3] = true, head, sub(src, p, stop - 1), cell
      n = n + 3
      if head == '' then dead = 0 end
    elseif to >= from and wait == 0 then -- it stays
      n = n + 1
      parts[n] = sub(raw, from, to)
      dead = until_
    else
      dead = 0
    end
    if dead > life then life = dead end
  end
  if dirty and pos <= size then -- limits that the request does not name stay while they count
    while pos <= size do
      local _, dead, _, _, stop, p = read(HEAD, raw, pos)
      stop = stop + p
      if dead > now and not (taken and taken[pos]) then
        n = n + 1
        parts[n] = sub(raw, pos, stop - 1)
        if dead > life then life = dead end
      end
      pos = stop
    end
  end
  states[j], lives[j] = dirty and parts, life
end

if once then
  wait, when = EARLIER, read('>I7', once)
  answer = answer .. sub(once, 8)
elseif wait == 0 and op > 0 then
  if taking and doubt and shadows then
    for i = 1, #shadows do
      local parts, n, old = shadows[i][1], shadows[i][2], shadows[i][3]
      parts[n + 1], parts[n + 2], parts[n + 3] = old, '', ''
    end
  end
  for j = 1, subjects do
    local life = lives[j] - now
    if not states[j] then -- nothing has changed
    elseif lives[j] >= FOREVER then
      call('SET', KEYS[j], table.concat(states[j]))
    else
      call('SET', KEYS[j], table.concat(states[j]), 'PX', life > 0 and (life - life % 1000) / 1000 + 1 or 1)
    end
  end
  if keys > subjects then
    local id, keep = read('>c8I6', ask, sp)
    call('SET', KEYS[keys], write('>I7', when) .. id, 'PX', keep)
    answer = answer .. id
  end
elseif keys > subjects then
  answer = answer .. '\0\0\0\0\0\0\0\0'
end
return write('>I6I7I7', echo, wait, when) .. answer
