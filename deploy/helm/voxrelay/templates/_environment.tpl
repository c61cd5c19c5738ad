{{- /* Only what a service uses: nothing but gateway, projector and the jobs sees the database, only the projector the object store. */}}
{{- define "voxrelay.kafkaEnvironment" -}}
- {name: VOXRELAY_KAFKA_BOOTSTRAP, value: {{ required "kafka.bootstrap is required: host:port of your brokers." .Values.kafka.bootstrap | quote }}}
- {name: VOXRELAY_PARTITIONS, value: {{ .Values.kafka.partitions | quote }}}
- {name: VOXRELAY_REPLICATION, value: {{ .Values.kafka.replication | quote }}}
{{- if .Values.kafka.properties.secret }}
- {name: VOXRELAY_KAFKA_PROPERTIES, value: {{ printf "/etc/voxrelay/kafka/%s" .Values.kafka.properties.key | quote }}}
{{- end }}
{{- end }}

{{- define "voxrelay.databaseEnvironment" -}}
- name: VOXRELAY_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.secret }}, key: {{ .Values.database.key }}}}
{{- end }}

{{- define "voxrelay.objectStoreEnvironment" -}}
{{- with .Values.objectStore }}
- {name: VOXRELAY_OBJECT_STORE_URL, value: {{ required "objectStore.url is required, as s3://bucket/prefix." .url | quote }}}
{{- if hasPrefix "s3://" .url }}
- {name: AWS_REGION, value: {{ .region | quote }}}
{{- if .endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ .endpoint | quote }}}
{{- end }}
{{- if .allowHttp }}
- {name: AWS_ALLOW_HTTP, value: "true"}
{{- end }}
{{- if .secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .accessKeyIdKey }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .secretAccessKeyKey }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Takes {root, workload}. */}}
{{- define "voxrelay.environment" -}}
{{- $gateway := .root.Values.services.gateway }}
{{ include "voxrelay.kafkaEnvironment" .root }}
{{- if has .workload.service (list "gateway" "projector") }}
{{ include "voxrelay.databaseEnvironment" .root }}
{{- end }}
{{- if eq .workload.service "projector" }}
{{- include "voxrelay.objectStoreEnvironment" .root }}
{{- end }}
- name: VOXRELAY_INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: VOXRELAY_HOST, value: 0.0.0.0}
- {name: VOXRELAY_SESSION_IDLE_S, value: {{ add $gateway.sessionLifetimeSeconds 300 | quote }}}
{{- if eq .workload.service "gateway" }}
- {name: VOXRELAY_GATEWAY_PORT, value: "8080"}
- {name: VOXRELAY_GATEWAY_GRPC_PORT, value: "50051"}
- {name: VOXRELAY_GATEWAY_DRAIN_S, value: {{ .workload.values.drainSeconds | quote }}}
- {name: VOXRELAY_GATEWAY_SESSION_LIFETIME_S, value: {{ .workload.values.sessionLifetimeSeconds | quote }}}
- {name: VOXRELAY_GATEWAY_MAX_SESSIONS, value: {{ .workload.values.maxSessions | quote }}}
{{- if .workload.values.tls.secret }}
- {name: VOXRELAY_GATEWAY_TLS_CERTIFICATE, value: /etc/voxrelay/tls/tls.crt}
- {name: VOXRELAY_GATEWAY_TLS_PRIVATE_KEY, value: /etc/voxrelay/tls/tls.key}
{{- end }}
{{- else }}
- {name: VOXRELAY_LANES, value: {{ list .workload.lane | toJson | quote }}}
- {name: VOXRELAY_METRICS_PORT, value: "9100"}
- {name: VOXRELAY_GRPC_PORT, value: "50051"}
{{- end }}
{{- with .root.Values.tracing }}
{{- if .endpoint }}
- {name: VOXRELAY_TRACES_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: VOXRELAY_TRACES_RATIO, value: {{ .ratio | quote }}}
{{- end }}
{{- end }}
{{- if eq .workload.service "transcribe" }}
- name: VOXRELAY_TRANSCRIBE_WORKERS
  valueFrom: {resourceFieldRef: {containerName: transcribe, resource: limits.cpu, divisor: "1"}}
{{- end }}
{{- range $name, $value := .workload.values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "voxrelay.mounts" -}}
- {name: temporary, mountPath: /tmp}
{{- if .Values.kafka.properties.secret }}
- {name: kafka, mountPath: /etc/voxrelay/kafka, readOnly: true}
{{- end }}
{{- if .Values.kafka.authorities.secret }}
- {name: kafka-authorities, mountPath: /etc/voxrelay/kafka-authorities, readOnly: true}
{{- end }}
{{- end }}

{{- /* Takes {root, size}. */}}
{{- define "voxrelay.volumes" -}}
- {name: temporary, emptyDir: {sizeLimit: {{ .size }}}}
{{- with .root.Values.kafka.properties.secret }}
- {name: kafka, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- with .root.Values.kafka.authorities }}
{{- if .secret }}
- {name: kafka-authorities, secret: {secretName: {{ .secret }}, defaultMode: 0440, items: [{key: {{ .key }}, path: ca.crt}]}}
{{- end }}
{{- end }}
{{- end }}
