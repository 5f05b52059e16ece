-- Count a failure of somebody, who is banned when there were too many of them. Who is banned already is not counted.
-- KEYS: failures, bans.  ARGV: who, window in ms, failures that ban, length of a ban in ms.
-- Answers 1 when this one bans, else 0.
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  return 0
end
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if count < tonumber(ARGV[3]) then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
return 1
