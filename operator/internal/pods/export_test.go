package pods

// SumOf is the decoder behind Gauge.
var SumOf = sumOf

// MaxMetrics is how many bytes of metrics are read.
const MaxMetrics = maxMetrics
