-- Load for wrk: post one body again and again, with the next API key each time, so that requests in
-- flight carry as many keys as there are connections.
-- Arguments after "--": the file with the body, then optionally a file with one API key per line.
-- The last line printed is one JSON object; times are in microseconds.

local requests = {}
local turn = 0

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(arguments)
  local body = read(arguments[1])
  local headers = { ["Content-Type"] = "application/json" }
  if not arguments[2] then
    requests[1] = wrk.format("POST", nil, headers, body)
    return
  end
  for key in read(arguments[2]):gmatch("%S+") do
    headers["Authorization"] = "Bearer " .. key
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "duration": %d, "p50": %d, "p99": %d, "max": %d, '
      .. '"non_2xx": %d, "socket_errors": %d, "timeouts": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
