-- Note the newest revision of tenants' catalogue entries; what is there is never lowered.
--
-- KEYS     the hash of units of each tenant: the admission script compares its field 'revision'.
-- ARGV[1]  Redis' clock after which nobody waits for the answer (microseconds).
-- ARGV[2]  the revision.
--
-- Returns {clock, 1 if it ran}.

local KEPT_MS = 100 * 86400 * 1000

local time = redis.call('TIME')
local clock = tonumber(time[1]) * 1000000 + tonumber(time[2])
if clock > tonumber(ARGV[1]) then
  return {clock, 0}
end
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('HGET', key, 'revision') or 0) < tonumber(ARGV[2]) then
    redis.call('HSET', key, 'revision', ARGV[2])
    redis.call('PEXPIRE', key, KEPT_MS)
  end
end
return {clock, 1}
