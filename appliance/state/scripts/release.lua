-- Give a lease back; only its holder can. What is told of it stands in the events, or nothing has changed.
-- KEYS: lease, index, events, record, records.  ARGV: session, stream, then nothing, or bound of the events, field, value, …
-- Answers 1, or 0 when it is not ours.
-- pcall: a key of another type is not ours either
if redis.pcall('HGET', KEYS[1], 'session') ~= ARGV[1] then
  return 0
end
local recorded = redis.pcall('HGET', KEYS[4], 'session') == ARGV[1]
-- What was not told to begin does not end; of a lease without a record nobody knows.
if ARGV[3] and not (recorded and redis.call('HGET', KEYS[4], 'told') ~= '1') then
  -- first: when it fails nothing has been given back, and the next comparison with /stat tries again
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
if recorded then
  redis.call('DEL', KEYS[4])
  redis.call('ZREM', KEYS[5], ARGV[2])
end
return 1
