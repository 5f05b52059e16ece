-- The records of publishers whose lease has ended by itself: {stream, 0, fields}, …
-- KEYS: records.  ARGV: prefix of the records' keys, prefix of the leases' keys.
local rows = {}
for _, stream in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local record = ARGV[1] .. stream
  local kind = redis.call('TYPE', record)['ok']
  if kind == 'none' then
    redis.call('ZREM', KEYS[1], stream)
  elseif kind ~= 'hash' then
    rows[#rows + 1] = {stream, 0, {kind}}
  elseif redis.pcall('HGET', ARGV[2] .. stream, 'session') ~= redis.call('HGET', record, 'session') then
    rows[#rows + 1] = {stream, 0, redis.call('HGETALL', record)}
  end
end
return rows
