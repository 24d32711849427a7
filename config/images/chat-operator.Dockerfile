# The operator, a static binary, and nothing else. The root file system may be
# read-only.
FROM scratch
COPY chat-operator /
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/chat-operator"]
