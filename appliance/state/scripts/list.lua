-- Every live lease in one answer: {stream, remaining life in ms, fields}, …
-- KEYS: index.  ARGV: prefix of the leases' keys.
local now = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000))
local rows = {}
for _, stream in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[1] .. stream
  -- a key of another type must not hide the leases of the others: its row has no pairs
  local fields = redis.pcall('HGETALL', key)
  if fields['err'] then
    rows[#rows + 1] = {stream, 0, {'not a hash'}}
  elseif #fields > 0 then
    rows[#rows + 1] = {stream, redis.call('PTTL', key), fields}
  end
end
return rows
