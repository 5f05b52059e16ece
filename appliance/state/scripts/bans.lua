-- Who is banned, and for how many ms more: {who, ms}, …
-- KEYS: bans.  ARGV: the only one asked for, or '' for all.
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local rows = {}
if ARGV[1] ~= '' then
  local till = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
  if till > now then
    rows[1] = {ARGV[1], till - now}
  end
  return rows
end
local found = redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf', 'WITHSCORES')
for i = 1, #found, 2 do
  rows[#rows + 1] = {found[i], tonumber(found[i + 1]) - now}
end
return rows
