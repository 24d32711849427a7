{{/* The name of a backend: .context and .part. */}}
{{- define "chat-backends.name" -}}
{{- printf "%s-%s" (.context.Release.Name | trunc 50 | trimSuffix "-") .part -}}
{{- end -}}

{{- define "chat-backends.selectorLabels" -}}
app.kubernetes.io/name: {{ .part }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
{{- end -}}

{{- define "chat-backends.labels" -}}
{{ include "chat-backends.selectorLabels" . }}
app.kubernetes.io/part-of: {{ .context.Chart.Name }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The host by which a backend is reached from all namespaces. */}}
{{- define "chat-backends.host" -}}
{{- printf "%s.%s.svc" (include "chat-backends.name" .) .context.Release.Namespace -}}
{{- end -}}

{{/* What the pods of both have in common: .context, .part and .uid. */}}
{{- define "chat-backends.pod" -}}
automountServiceAccountToken: false
# The variables that Kubernetes makes of Services could look like settings.
enableServiceLinks: false
terminationGracePeriodSeconds: 60
{{- with .context.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid }}
  runAsGroup: {{ .uid }}
  fsGroup: {{ .uid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .context.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .context.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The probes by a port's name: there is a port when it serves. */}}
{{- define "chat-backends.probes" -}}
startupProbe:
  tcpSocket:
    port: {{ . }}
  periodSeconds: 2
  failureThreshold: 150
readinessProbe:
  tcpSocket:
    port: {{ . }}
  periodSeconds: 5
{{- end -}}

{{- define "chat-backends.containerSecurityContext" -}}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* The claims of a StatefulSet with persistence. */}}
{{- define "chat-backends.claims" -}}
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .size }}
{{- end -}}

{{/* Helm reads numbers as floats, and prints large ones with an exponent. */}}
{{- define "chat-backends.scalar" -}}
{{- if kindIs "float64" . }}{{ toJson . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* Kafka's settings: .context, .part and .logDir. One node is broker and
controller, and tells clients the address of the Service. */}}
{{- define "chat-backends.kafkaConfig" -}}
{{- $config := dict
  "process.roles" "broker,controller"
  "node.id" 1
  "listeners" "PLAINTEXT://:9092,CONTROLLER://localhost:9093"
  "advertised.listeners" (printf "PLAINTEXT://%s:9092" (include "chat-backends.host" .))
  "listener.security.protocol.map" "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
  "inter.broker.listener.name" "PLAINTEXT"
  "controller.listener.names" "CONTROLLER"
  "controller.quorum.voters" "1@localhost:9093"
  "log.dirs" .logDir
  "auto.create.topics.enable" false
  "offsets.topic.num.partitions" 4
  "offsets.topic.replication.factor" 1
  "transaction.state.log.replication.factor" 1
  "transaction.state.log.min.isr" 1
  "group.initial.rebalance.delay.ms" 0
-}}
{{- range $key, $value := merge (deepCopy .context.Values.kafka.config) $config }}
{{ $key }}={{ include "chat-backends.scalar" $value }}
{{- end }}
{{- end -}}
