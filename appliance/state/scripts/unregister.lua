-- Forget a stream and its keys.
-- KEYS: stream, its keys, index.  ARGV: name.  Answers 1, or 0 when it was not registered.
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
