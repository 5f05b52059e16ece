-- Be the one that delivers events, if nobody else is.
-- KEYS: leader.  ARGV: our name, life in ms.  Answers 1, or 0 when another is.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
