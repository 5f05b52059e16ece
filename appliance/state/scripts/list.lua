-- Every live lease in one answer: {stream, remaining life in ms, fields}, …
-- KEYS: index.  ARGV: prefix of the leases' keys.
local now = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000))
local rows = {}
for _, stream in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[1] .. stream
  local fields = redis.call('HGETALL', key)
  if #fields > 0 then
    rows[#rows + 1] = {stream, redis.call('PTTL', key), fields}
  end
end
return rows
