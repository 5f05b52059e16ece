-- Some of a stream's viewers, in the order of their ids.
-- KEYS: when each was last seen, the ids in their order, what is known of each.
-- ARGV: window in ms, where to begin (as ZRANGEBYLEX takes it), how many.
-- Answers how many are there in all, then for each: id, document, since and last seen in ms.
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
local wanted = tonumber(ARGV[3])
local answer = { redis.call('ZCOUNT', KEYS[1], oldest, '+inf') }
local from = ARGV[2]
while #answer <= wanted do
  local ids = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, wanted)
  if #ids == 0 then
    break
  end
  for _, id in ipairs(ids) do
    local seen = redis.call('ZSCORE', KEYS[1], id)
    local about = redis.call('HMGET', KEYS[3], id, id .. ':since')
    -- Who has left stays until the next viewer is noted.
    if #answer <= wanted and seen and tonumber(seen) >= oldest and about[1] and about[2] then
      answer[#answer + 1] = { id, about[1], about[2], seen }
    end
  end
  from = '(' .. ids[#ids]
end
return answer
