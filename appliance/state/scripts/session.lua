-- Note that a session of a viewer is there, unless the viewer has too many others.
-- KEYS: the viewer's sessions, each with the time it was last seen.  ARGV: session, limit, life in ms.
-- Answers 1, or 0 when there are too many; the set never grows beyond the limit.
local life = tonumber(ARGV[3])
-- Valkey's clock, not the caller's: hosts need not agree on the time.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - life))
-- After the clock was set back: what has been seen in the future would stay until then.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], life)
return 1
