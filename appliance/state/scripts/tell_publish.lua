-- Tell that a publish has begun, unless that is told already.
-- KEYS: record, events.  ARGV: session, bound of the events, field, value, …
-- Answers 1, or 0 when the record is another's or gone.
if redis.call('HGET', KEYS[1], 'session') ~= ARGV[1] then
  return 0
end
if redis.call('HGET', KEYS[1], 'told') ~= '1' then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
  redis.call('HSET', KEYS[1], 'told', '1')
end
return 1
