-- Give a lease back; only its holder can.
-- KEYS: lease, index.  ARGV: session, stream.  Answers 1, or 0 when it is not ours.
-- pcall: a key of another type is not ours either
if redis.pcall('HGET', KEYS[1], 'session') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
