-- Take a publish lease, unless somebody else holds it.
-- KEYS: lease, index, events.
-- ARGV: session that may be replaced ('' for none), life in ms, stream, how many fields and values follow, field,
-- value, …, then what is told of a replaced one: nothing, or bound of the events, field, value, …
-- Answers {1}, or {0, remaining life in ms, fields of the holder}.
-- A key of another type is nobody's lease, and not ours to throw away: {0, life, {its type}}.
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'hash' and kind ~= 'none' then
  return {0, redis.call('PTTL', KEYS[1]), {kind}}
end
-- Looked at before the first change: a script that fails half-way is not undone.
local index = redis.call('TYPE', KEYS[2])['ok']
if index ~= 'zset' and index ~= 'none' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[2] .. ' is a ' .. index .. ', not a zset; free it: DEL ' .. KEYS[2])
end
local holder = redis.call('HGET', KEYS[1], 'session')
if holder and holder ~= ARGV[1] then
  return {0, redis.call('PTTL', KEYS[1]), redis.call('HGETALL', KEYS[1])}
end
local life, last = tonumber(ARGV[2]), 4 + tonumber(ARGV[4])
if holder and ARGV[last + 1] then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[last + 1], '*', unpack(ARGV, last + 2))
end
-- Valkey's clock, not the caller's: hosts need not agree on the time.
local now = redis.call('TIME')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 5, last))
redis.call('PEXPIRE', KEYS[1], life)
redis.call('ZADD', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000) + life, ARGV[3])
return {1}
