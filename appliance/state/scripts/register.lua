-- Register a stream, or replace what stands for it.
-- KEYS: stream, index.  ARGV: document, name.  Answers 1 when it was new, else 0.
local new = redis.call('EXISTS', KEYS[1]) == 0
redis.call('ZADD', KEYS[2], 0, ARGV[2])
redis.call('SET', KEYS[1], ARGV[1])
return new and 1 or 0
