{{- define "rearguard.labels" -}}
app.kubernetes.io/name: rearguard
app.kubernetes.io/component: controller
{{- end }}
{{- define "rearguard.binding" -}}
{{- /* A RoleBinding of the Role `.role` in `.namespace` to the controller's account. */ -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .role }}
  namespace: {{ .namespace }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .role }}
subjects:
  - kind: ServiceAccount
    name: rearguard
    namespace: {{ .account }}
{{- end }}
