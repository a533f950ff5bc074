-- Read what a tenant has used in a month and has in flight; nothing is changed.
--
-- KEYS     the tenant's units, its leases: of one hash slot, where there is a cluster.
-- ARGV[1]  Redis' clock after which nobody waits for the answer (microseconds).
-- ARGV[2]  the month (202611).
--
-- Returns {clock, 1 if it ran, units, since when they are counted (0: not yet), units of leases}.
-- The last five of the sixteen bytes of a lease are the units of its request.

local time = redis.call('TIME')
local clock = tonumber(time[1]) * 1000000 + tonumber(time[2])
if clock > tonumber(ARGV[1]) then
  return {clock, 0}
end
local fields = redis.call('HMGET', KEYS[1], ARGV[2], 'since')
local leased = 0
for _, lease in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  leased = leased + struct.unpack('>I5', lease, 12)
end
return {clock, 1, tonumber(fields[1] or 0), tonumber(fields[2] or 0), leased}
