-- A player that was let in has left: forget it, and tell it.
-- KEYS: players, events.  ARGV: client, bound of the events, field, value, …
-- Answers 1, or 0 when nobody of that number was let in.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
