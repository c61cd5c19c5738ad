{{- /* What the pods of services and jobs have in common. Service links are off: a Service named voxrelay-gateway would set VOXRELAY_GATEWAY_PORT. */}}
{{- define "voxrelay.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "voxrelay.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* Takes {root, workload}. */}}
{{- define "voxrelay.pod" -}}
{{- $values := .workload.values }}
{{- $isGateway := eq .workload.service "gateway" }}
{{- $gpu := $values.gpu }}
{{- $port := ternary "http" "metrics" $isGateway }}
{{- $scheme := ternary "HTTPS" "HTTP" (and $isGateway (not (empty (dig "tls" "secret" "" $values)))) }}
{{ include "voxrelay.podSecurity" .root }}
serviceAccountName: {{ include "voxrelay.fullname" .root }}
terminationGracePeriodSeconds: {{ ternary (add 60 ($values.drainSeconds | default 0)) (int $values.terminationGraceSeconds) $isGateway }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $nodes := mergeOverwrite (deepCopy (ternary $gpu.nodeSelector dict (gt (int $gpu.count) 0))) $values.nodeSelector }}
{{- with $nodes }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat $values.tolerations (ternary $gpu.tolerations list (gt (int $gpu.count) 0)) }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: {{ $.root.Values.topologySpread.maxSkew }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    matchLabelKeys: [pod-template-hash]
    nodeTaintsPolicy: Honor # a node these pods may not go to, with GPUs say, is no place left empty
    labelSelector:
      matchLabels: {{- include "voxrelay.workloadSelector" $ | nindent 8 }}
{{- end }}
containers:
  - name: {{ .workload.service }}
    image: {{ include "voxrelay.image" . }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    {{- include "voxrelay.containerSecurity" . | nindent 4 }}
    env: {{- include "voxrelay.environment" . | trim | nindent 6 }}
    ports:
{{- if $isGateway }}
      - {name: http, containerPort: 8080}
{{- else }}
      - {name: metrics, containerPort: 9100}
{{- end }}
      - {name: grpc, containerPort: 50051}
{{- $resources := deepCopy $values.resources }}
{{- if gt (int $gpu.count) 0 }}
{{- $_ := set $resources "limits" (merge (dict $gpu.resource $gpu.count) $resources.limits) }}
{{- end }}
    resources: {{- toYaml $resources | nindent 6 }}
    startupProbe: # the engine loads before the port answers
      httpGet: {path: /health, port: {{ $port }}, scheme: {{ $scheme }}}
      periodSeconds: 2
      timeoutSeconds: 5
      failureThreshold: 150
    livenessProbe:
      httpGet: {path: /health, port: {{ $port }}, scheme: {{ $scheme }}}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe: # asks the broker, and the database and the object store where they are used
      httpGet: {path: /ready, port: {{ $port }}, scheme: {{ $scheme }}}
      periodSeconds: 5
      timeoutSeconds: 15
      failureThreshold: 2
{{- if $isGateway }}
    lifecycle: # the load balancer hears that the pod goes before the gateway refuses new sessions
      preStop: {sleep: {seconds: 5}}
{{- end }}
    volumeMounts:
      {{- include "voxrelay.mounts" .root | nindent 6 }}
{{- if eq $scheme "HTTPS" }}
      - {name: tls, mountPath: /etc/voxrelay/tls, readOnly: true}
{{- end }}
volumes:
  {{- include "voxrelay.volumes" (dict "root" .root "size" $values.temporarySize) | nindent 2 }}
{{- if eq $scheme "HTTPS" }}
  - {name: tls, secret: {secretName: {{ $values.tls.secret }}, defaultMode: 0440}}
{{- end }}
{{- end }}
