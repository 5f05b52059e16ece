-- Note that viewers of a stream are there, and forget those who have left.
-- KEYS: when each was last seen, the ids in their order, what is known of each.
-- ARGV: window in ms, then for each viewer: id, document.  Answers nothing.
local window = tonumber(ARGV[1])
-- Valkey's clock, not the caller's: hosts need not agree on the time.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - window), 'LIMIT', 0, 2000)
-- After the clock was set back: what has been seen in the future would stay until then.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'LIMIT', 0, 1000)) do
  gone[#gone + 1] = id
end
for _, id in ipairs(gone) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id, id .. ':since')
end
for index = 2, #ARGV, 2 do
  local id = ARGV[index]
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('ZADD', KEYS[2], 0, id)
  redis.call('HSET', KEYS[3], id, ARGV[index + 1])
  redis.call('HSETNX', KEYS[3], id .. ':since', now)
end
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, window)
end
