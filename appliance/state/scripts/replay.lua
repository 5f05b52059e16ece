-- A dead letter becomes an event again, behind the newest.
-- KEYS: events, dead letters.  ARGV: position of the letter, then bound of the events, field, value, …
-- Answers 1, or 0 when it is gone already.
if #redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1]) == 0 then
  return 0
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
redis.call('XDEL', KEYS[2], ARGV[1])
return 1
