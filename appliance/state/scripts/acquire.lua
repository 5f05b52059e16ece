-- Take a publish lease, unless somebody else holds it, and note who does in a record that does not expire.
-- KEYS: lease, index, events, record, records.
-- ARGV: session that may be replaced ('' for none), life in ms, stream, how many fields and values follow, field,
-- value, … (one of them the session), then what is told of a replaced one: nothing, or bound of the events, field,
-- value, …
-- Answers {1}, or {0, remaining life in ms, fields of the holder}, or {2, fields} where the record is of somebody
-- whose lease has ended by itself, and whose end must be told first.
-- A key of another type is nobody's lease, and not ours to throw away: {0, life, {its type}}.
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'hash' and kind ~= 'none' then
  return {0, redis.call('PTTL', KEYS[1]), {kind}}
end
-- Looked at before the first change: a script that fails half-way is not undone.
for key, wanted in pairs({[KEYS[2]] = 'zset', [KEYS[4]] = 'hash', [KEYS[5]] = 'zset'}) do
  local found = redis.call('TYPE', key)['ok']
  if found ~= wanted and found ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', not a ' .. wanted .. '; free it: DEL ' .. key)
  end
end
local holder = redis.call('HGET', KEYS[1], 'session')
if holder and holder ~= ARGV[1] then
  return {0, redis.call('PTTL', KEYS[1]), redis.call('HGETALL', KEYS[1])}
end
local life, last, session = tonumber(ARGV[2]), 4 + tonumber(ARGV[4]), nil
for at = 5, last, 2 do
  if ARGV[at] == 'session' then
    session = ARGV[at + 1]
  end
end
local before, told = unpack(redis.call('HMGET', KEYS[4], 'session', 'told'))
if before and before ~= session and before ~= holder and told == '1' then
  return {2, redis.call('HGETALL', KEYS[4])}
end
-- What was not told to begin does not end; of a lease without a record nobody knows.
if holder and ARGV[last + 1] and not (before == holder and told ~= '1') then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[last + 1], '*', unpack(ARGV, last + 2))
end
-- Valkey's clock, not the caller's: hosts need not agree on the time.
local now = redis.call('TIME')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 5, last))
redis.call('PEXPIRE', KEYS[1], life)
redis.call('ZADD', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000) + life, ARGV[3])
if before ~= session then
  redis.call('DEL', KEYS[4])
end
redis.call('HSET', KEYS[4], unpack(ARGV, 5, last))
redis.call('ZADD', KEYS[5], '+inf', ARGV[3])
return {1}
