-- Drives wrk: sends the bodies in turn and prints the sums as one line of JSON.
-- The path, the headers and the bodies come from the file that BENCH_ORDERS names, one item a line.

local requests = {}
local at = 0

function init(args)
   local lines = io.lines(os.getenv("BENCH_ORDERS"))
   local path = lines()
   local headers = {}
   for _ = 1, tonumber(lines()) do
      headers[lines()] = lines()
   end
   for body in lines do
      table.insert(requests, wrk.format("POST", path, headers, body))
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"seconds":%.6f,"answered":%d,"good":%d,"broken":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
      summary.duration / 1e6, summary.requests, summary.requests - errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
