-- A publisher's lease has ended by itself: forget its record, and tell the end if the beginning was told.
-- KEYS: lease, record, records, events.  ARGV: session, stream, bound of the events, field, value, …
-- Answers 1, or 0 when it has its lease, or its record is gone.
if redis.pcall('HGET', KEYS[1], 'session') == ARGV[1] or redis.call('HGET', KEYS[2], 'session') ~= ARGV[1] then
  return 0
end
if redis.call('HGET', KEYS[2], 'told') == '1' then
  -- first: when it fails the record stays, and the next round tries again
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[2])
return 1
