{{- define "chatcluster.name" -}}
{{- $name := .Values.name | default .Release.Name -}}
{{- if gt (len $name) 40 -}}
{{- fail (printf "the name %q has more than 40 characters; set name" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* Not the label instance: it is how the operator finds what is its own. */}}
{{- define "chatcluster.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "chatcluster.image" -}}
{{- .Values.spec.image | default (printf "chatcluster/chatd:%s" .Chart.AppVersion) -}}
{{- end -}}

{{/* The labels of the chart and others, of which the chart's win. */}}
{{- define "chatcluster.labelsWith" -}}
{{- toYaml (merge (include "chatcluster.labels" .context | fromYaml) .labels) -}}
{{- end -}}

{{/* The spec. Without gateway.replicas where an autoscaler writes it: each
upgrade would undo what it decided, and with server-side apply conflict with it. */}}
{{- define "chatcluster.spec" -}}
{{- $spec := deepCopy .Values.spec -}}
{{- $_ := set $spec "image" (include "chatcluster.image" .) -}}
{{- $gateway := $spec.gateway | default dict -}}
{{- if and .Values.hpa.enabled $gateway.autoscaling -}}
{{- fail "set hpa.enabled or spec.gateway.autoscaling, not both" -}}
{{- end -}}
{{- if or .Values.hpa.enabled $gateway.autoscaling -}}
{{- $_ := set $spec "gateway" (omit $gateway "replicas") -}}
{{- if not $spec.gateway -}}
{{- $_ := unset $spec "gateway" -}}
{{- end -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}
