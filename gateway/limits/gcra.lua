-- Decide on a batch of admissions and releases of many tenants in one call; all or nothing for each.
--
-- KEYS     three for each operation: the API key's meter, the tenant's units, the tenant's leases.
--          All operations of a call are of one hash slot, where there is a cluster.
-- ARGV[1]  Redis' clock after which nobody waits for the answer (microseconds; 0: never).
-- ARGV[2]  a rate clock and ARGV[3] a wall clock in microseconds in place of Redis' own ('': none).
-- ARGV[4]  how long a lease lasts, in microseconds.
-- then one string for each operation, sixteen big-endian doubles and a lease (or 16 zero bytes):
--   1 interval capacity units limit cap known_ahead told_ahead owed_ahead held since period used owed
--     revision seen: admit (units -1: not billed; limit and cap -1: none; revision -1: not compared;
--     the meter is known_ahead if it is gone, told_ahead at least, and owed_ahead more)
--   0 interval slot meter_since units period units_since, nine zeros: release
--   2 remaining, fourteen zeros: hold a lease that was granted before
--
-- meter    string of three doubles: when the key is idle again, all time given back, when it began.
-- units    hash: period -> used, 'base:' period -> the part that was told by workers after a loss,
--          'since' -> when it began, which tells a hash that was lost from the one that came after,
--          'revision' -> the tenant's newest in the catalogue, as far as anybody told.
-- leases   sorted set: lease -> when it is taken for lost.
--
-- Returns {clock, 1 if it ran, period, microseconds left in it, results...}; an admission gives
-- {refusal, retry seconds, microseconds ahead, used, slot, meter_since, units_since}, the others
-- {used, or -1}. An admission that knows too old a revision is refused as STALE with the newest in
-- place of the slot; one that gives that back as `seen` has read the catalogue since, and what it
-- read counts, also where Redis lost the revision or has a higher one. All numbers are integers below 2^53, which doubles hold exactly.

local SECOND = 1000000
local DAY = 86400 * SECOND
local FORMAT = '>ddddddddddddddddc16'
local NO_LEASE = string.rep('\0', 16)
local SLACK_MS = 60000
local KEPT_MS = 100 * 86400 * 1000
local KEPT_PERIODS = 3
local FLIGHT_RETRY = 1
local RATE, QUOTA, FLIGHT, STALE = 1, 2, 3, 4

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local call = redis.call

local time = call('TIME')
local clock = tonumber(time[1]) * SECOND + tonumber(time[2])
local deadline = tonumber(ARGV[1])
if deadline > 0 and clock > deadline then
  return {clock, 0}
end
local now = tonumber(ARGV[2]) or clock
local wall = tonumber(ARGV[3]) or clock
local lease_us = tonumber(ARGV[4])
local leases_kept_ms = ceil(lease_us / 1000) + SLACK_MS

-- Source: Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
local function month_of(moment)
  local days = floor(moment / DAY)
  local shifted = days + 719468
  local era = floor(shifted / 146097)
  local day_of_era = shifted - era * 146097
  local year_of_era = floor((day_of_era - floor(day_of_era / 1460) + floor(day_of_era / 36524)
    - floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era
    - (365 * year_of_era + floor(year_of_era / 4) - floor(year_of_era / 100))
  local from_march = floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - floor((153 * from_march + 2) / 5)
  local month = from_march < 10 and from_march + 3 or from_march - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  local length = ({31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31})[month]
  if month == 2 and (year % 4 == 0 and year % 100 ~= 0 or year % 400 == 0) then
    length = 29
  end
  return year * 100 + month, (days - day + length) * DAY
end

local period, month_end = month_of(wall)
local left = month_end - wall

local function text(number)
  return string.format('%.0f', number)
end

local function read_meter(key)
  local packed = call('GET', key)
  if not packed then
    return nil
  end
  local at, back, since = struct.unpack('>ddd', packed)
  return at, back, since
end

local function write_meter(key, at, back, since)
  local kept_ms = ceil(max(0, at - now) / 1000) + SLACK_MS
  call('SET', key, struct.pack('>ddd', at, back, since), 'PX', text(kept_ms))
end

local function forget_periods(key)
  local periods = {}
  for _, name in ipairs(call('HKEYS', key)) do
    if tonumber(name) then
      periods[#periods + 1] = tonumber(name)
    end
  end
  table.sort(periods)
  local surplus = #periods - KEPT_PERIODS
  for _, old in ipairs(periods) do
    if surplus > 0 and old ~= period then
      call('HDEL', key, text(old), 'base:' .. text(old))
      surplus = surplus - 1
    end
  end
end

-- Never lower what is there: the ledger's figure is a bound on the whole, a lost hash's on the base.
local function restore(key, told_since, told_period, told_used)
  local field, base_field = text(told_period), 'base:' .. text(told_period)
  local used = tonumber(call('HGET', key, field) or 0)
  local base = tonumber(call('HGET', key, base_field) or 0)
  local raised = told_used - (told_since == 0 and used or base)
  if raised > 0 then
    call('HSET', key, field, text(used + raised), base_field, text(base + raised))
    call('PEXPIRE', key, KEPT_MS)
  end
end

local function begin(key)
  call('HSET', key, 'since', text(clock))
  call('PEXPIRE', key, KEPT_MS)
  return clock
end

-- Returns the units used in this period, since when they are counted (0: not yet), the revision.
local function read_units(key, told_since, told_period, told_used, owed)
  local fields = call('HMGET', key, 'since', period, 'revision')
  local since, newest = tonumber(fields[1] or 0), tonumber(fields[3] or 0)
  local is_lost = told_used > 0 and (since == 0 or since ~= told_since)
  if not is_lost and owed == 0 then
    return tonumber(fields[2] or 0), since, newest
  end
  since = since > 0 and since or begin(key)
  if is_lost then
    restore(key, told_since, told_period, told_used)
  end
  if owed ~= 0 then
    local used = tonumber(call('HGET', key, text(told_period)) or 0)
    call('HSET', key, text(told_period), text(max(0, used + owed)))
  end
  return tonumber(call('HGET', key, period) or 0), since, newest
end

-- Threat: without it a key that was revoked on another machine goes on here until the next reading.
local function is_current(key, newest, revision, seen)
  if newest > 0 and newest <= revision then
    return true
  end
  if newest ~= seen then
    return false
  end
  call('HSET', key, 'revision', text(revision))
  call('PEXPIRE', key, KEPT_MS)
  return true
end

local function count_flight(key, cap, held)
  local flight = max(call('ZCARD', key), held)
  if flight >= cap and call('ZREMRANGEBYSCORE', key, '-inf', text(now)) > 0 then
    flight = max(call('ZCARD', key), held)
  end
  return flight
end

local results, count = {clock, 1, period, left}, 4

local function answer(refusal, retry, ahead, used, slot, meter_since, units_since)
  results[count + 1], results[count + 2], results[count + 3] = refusal, retry, ahead
  results[count + 4], results[count + 5], results[count + 6] = used, slot, meter_since
  results[count + 7] = units_since
  count = count + 7
end

-- Returns how far the key is ahead, all time given back, and since when that is counted.
local function read_ahead(key, capacity, known_ahead, told, owed)
  local idle_at, back, since = read_meter(key)
  if not idle_at then
    idle_at, back, since = now, 0, clock
    told = max(told, known_ahead)
  elseif idle_at - now > capacity then
    told, since = capacity, clock -- the clock was set back, or the plan shrank
  end
  local ahead = min(capacity, max(0, idle_at - now, told) + owed)
  if told > 0 or owed > 0 then -- what is restored stays, whether or not this request gets in
    write_meter(key, now + ahead, back, since)
  end
  return ahead, back, since
end

local function charge(key, used, units, since)
  since = since > 0 and since or begin(key)
  if used == 0 then
    forget_periods(key)
    call('PEXPIRE', key, KEPT_MS)
  end
  call('HSET', key, period, text(used + units))
  return since
end

local function admit(key, interval, capacity, units, limit, cap, known_ahead, told_ahead, owed_ahead,
    held, told_since, told_period, told_used, owed, revision, seen, lease)
  local meter_key, units_key, leases_key = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local is_billed = units >= 0
  units = max(0, units)
  local refusal, retry = 0, 0
  local ahead, back, meter_since = 0, 0, 0
  if interval > 0 then
    ahead, back, meter_since = read_ahead(meter_key, capacity, known_ahead, told_ahead, owed_ahead)
  end
  local moved = ahead + interval
  if moved > capacity then
    refusal, retry = RATE, ceil((moved - capacity) / SECOND)
  end
  local used, units_since, newest = 0, 0, 0
  if limit >= 0 or units > 0 or owed ~= 0 or revision >= 0 then
    used, units_since, newest = read_units(units_key, told_since, told_period, told_used, owed)
  end
  if revision >= 0 and not is_current(units_key, newest, revision, seen) then
    return answer(STALE, 0, ahead, used, newest, 0, units_since)
  end
  if is_billed and limit >= 0 and used + units > limit and ceil(left / SECOND) > retry then
    refusal, retry = QUOTA, ceil(left / SECOND)
  end
  if cap >= 0 and retry < FLIGHT_RETRY and count_flight(leases_key, cap, held) >= cap then
    refusal, retry = FLIGHT, FLIGHT_RETRY
  end
  if refusal > 0 then
    return answer(refusal, retry, ahead, used, 0, 0, units_since)
  end
  if interval > 0 then
    write_meter(meter_key, now + moved, back, meter_since)
  end
  if units > 0 then
    units_since = charge(units_key, used, units, units_since)
  end
  if cap >= 0 then
    call('ZADD', leases_key, text(now + lease_us), lease)
    call('PEXPIRE', leases_key, leases_kept_ms)
  end
  return answer(0, 0, moved, used + units, now + moved + back, meter_since, units_since)
end

-- Only the part of the slot that has not passed yet: what has passed was there for others already.
local function return_rate(key, interval, slot, since)
  local idle_at, back, began = read_meter(key)
  if not idle_at or began ~= since then
    return
  end
  local unspent = min(interval, max(0, slot - back - now))
  if unspent > 0 then
    write_meter(key, idle_at - unspent, back + unspent, began)
  end
end

-- Returns the units used after giving `units` back, or -1 where there was nothing to give back to.
local function return_units(key, units, in_period, since)
  local fields = call('HMGET', key, 'since', text(in_period))
  if tonumber(fields[1] or 0) ~= since then
    return -1
  end
  local used = max(0, tonumber(fields[2] or 0) - units)
  call('HSET', key, text(in_period), text(used))
  return used
end

local function release(key, interval, slot, meter_since, units, in_period, units_since, lease)
  local used = -1
  -- A lease that is gone was released before, or ran out: nothing is given back twice.
  if lease == NO_LEASE or call('ZREM', KEYS[key + 2], lease) > 0 then
    if interval > 0 then
      return_rate(KEYS[key], interval, slot, meter_since)
    end
    if units > 0 then
      used = return_units(KEYS[key + 1], units, in_period, units_since)
    end
  end
  count = count + 1
  results[count] = used
end

-- A lease that Redis lost, or took for lost too early, counts again for what is left of it.
local function hold(key, remaining, lease)
  call('ZADD', KEYS[key + 2], text(now + remaining), lease)
  call('PEXPIRE', KEYS[key + 2], leases_kept_ms)
  count = count + 1
  results[count] = -1
end

for index = 5, #ARGV do
  local key = 3 * (index - 5) + 1
  local kind, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, lease =
    struct.unpack(FORMAT, ARGV[index])
  if kind == 1 then
    admit(key, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, lease)
  elseif kind == 0 then
    release(key, a, b, c, d, e, f, lease)
  else
    hold(key, a, lease)
  end
end
return results
