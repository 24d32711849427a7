module github.com/chatcluster/chatcluster

go 1.26.0
