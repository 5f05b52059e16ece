-- Renew a lease that is still ours, and note that its publisher has been seen in nginx's statistics.
-- KEYS: lease, index.  ARGV: session, life in ms, stream.  Answers 1, or 0 when it is not ours.
-- pcall: a key of another type is not ours either
if redis.pcall('HGET', KEYS[1], 'session') ~= ARGV[1] then
  return 0
end
local life = tonumber(ARGV[2])
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'seen', '1', 'life_ms', life)
redis.call('PEXPIRE', KEYS[1], life)
redis.call('ZADD', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000) + life, ARGV[3])
return 1
