-- Leave the delivery of events to whoever comes next.
-- KEYS: leader.  ARGV: our name.  Answers 1, or 0 when it was another.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
